"use strict";
// The page: a recording in; its syllables, and how a text was read, out.

const WORDS = {
  en: {
    other: "中文", intro: "Speak Mandarin and see the syllables with their tones. Give a text, and see what was off.",
    textLabel: "Text to read aloud (optional): hanzi or pinyin", placeholder: "你好 · ni3 hao3 · nǐ hǎo",
    record: "● Record", stop: "■ Stop", file: "Open a file", play: "▶ Play", pause: "❚❚ Stop", heard: "Heard:",
    keys: "Keys: R records and stops, O opens a file, space plays, ← and → move between syllables, Enter plays from one. Files may also be dropped on the page.",
    privacy: "Everything is computed in this page. No sound leaves this machine.",
    recording: "Recording. Speak now.", working: "Listening …", nothing: "No speech was found in it.",
    noMicrophone: "The microphone cannot be used: ", unreadable: "This file cannot be read as sound: ",
    tooLong: "This is longer than 2 minutes. Cut it into parts.", tooShort: "This is shorter than a frame.",
    unknown: "No reading is known for: ", notInModel: "This model does not know: ",
    noFit: "The text has more syllables than fit into the recording. Read the whole text.",
    columns: ["text", "", "said", "verdict", "initial", "final", "tone"], parts: ["initial", "final", "tone"],
    None: "right", Mispronunciation: "wrong", Omission: "left out", Insertion: "not in the text",
    summary: (right, all) => `${right} of ${all} syllables right`, took: seconds => `Done in ${seconds} s.`, from: "play from",
  },
  zh: {
    other: "English", intro: "说普通话，看音节和声调。给出一段文字再朗读，看哪里读错了。",
    textLabel: "要朗读的文字（可不填）：汉字或拼音", placeholder: "你好 · ni3 hao3 · nǐ hǎo",
    record: "● 录音", stop: "■ 停止", file: "打开文件", play: "▶ 播放", pause: "❚❚ 停止", heard: "听到：",
    keys: "按键：R 开始或停止录音，O 打开文件，空格播放，← → 在音节间移动，回车从该音节播放。也可以把文件拖到页面上。",
    privacy: "全部计算都在本页面内完成，声音不会离开这台机器。",
    recording: "正在录音，请说话。", working: "正在识别……", nothing: "没有听到语音。",
    noMicrophone: "无法使用麦克风：", unreadable: "无法读取这个音频文件：",
    tooLong: "录音超过 2 分钟，请分段。", tooShort: "录音太短。",
    unknown: "不知道读音：", notInModel: "模型没有这些音节：",
    noFit: "文字的音节数超过录音所能容纳，请读完整段文字。",
    columns: ["文字", "", "读作", "判断", "声母", "韵母", "声调"], parts: ["声母", "韵母", "声调"],
    None: "正确", Mispronunciation: "有误", Omission: "漏读", Insertion: "多读",
    summary: (right, all) => `${all} 个音节中 ${right} 个正确`, took: seconds => `用时 ${seconds} 秒。`, from: "播放：",
  },
};
const LONGEST_S = 120;

/** What the page hears in samples: features, log-probabilities, syllables with begin and end. */
function recognize(model, samples) {
  const features = fbank(levelled(samples, model.features), model.features);
  if (!features.frames) return null;
  const logProbs = runNetwork(model, features), emissions = greedy(logProbs);
  return {features, logProbs, syllables: timed(model, features, emissions)};
}

function timed(model, features, emissions) {
  const times = spans(emissions, features, model.reduction, model.spike_place, model.features.frame_shift_ms);
  return emissions.map((one, i) => ({...times[i], token: one.token, confidence: calibrated(model.calibration, one.posterior)}));
}

/** How often a syllable of this probability is right, as steps/deploy/model.py has it. */
function calibrated({slope, offset}, probability) {
  const clipped = Math.min(Math.max(probability, 1e-6), 1 - 1e-6);
  return 1 / (1 + Math.exp(-(slope * Math.log(clipped / (1 - clipped)) + offset)));
}

/** How targets were read in what `recognize` found; null where they do not fit into it. */
function assess(model, found, targets) {
  const judged = judge(found.logProbs, targets, model.tokens, model.parts);
  if (!judged) return null;
  const times = timed(model, found.features, judged.said.length ? align(found.logProbs, judged.said) : []);
  let place = 0;
  return judged.heard.map(one => ({...one, ...(one.token ? times[place++] : {}),
                                   verdict: one.target === null ? null : judged.verdicts[one.target]}));
}

// ---- the page's state: its words, what it heard, and what runs ----

let model, dictionary, words, sound = null, found = null, recorder = null, player = null;

function at(id) {
  return document.getElementById(id);
}

function speak(language) {
  words = WORDS[language];
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = words[element.dataset.say];
  at("language").textContent = words.other;
  at("language").lang = language === "en" ? "zh" : "en";
  at("text").placeholder = words.placeholder;
  at("record").textContent = recorder ? words.stop : words.record;
  at("play").textContent = player ? words.pause : words.play;
  showText();
  if (found) show();
}

function say(message, error = false) {
  at("status").textContent = message;
  at("status").classList.toggle("error", error);
}

// ---- the text ----

function readTargets() {
  const {targets, unknown} = readText(at("text").value, dictionary);
  const strange = [...new Set(targets.map(one => one.syllable).filter(syllable => !model.tokens.includes(syllable)))];
  return {targets, problem: unknown.length ? words.unknown + unknown.join(" ")
    : strange.length ? words.notInModel + strange.map(accent).join(" ") : ""};
}

function showText() {
  const {targets, problem} = readTargets();
  at("pinyin").textContent = problem || targets.map(one => accent(one.syllable)).join(" ");
}

// ---- sound in ----

async function hear(blob) {
  stopPlaying();
  say(words.working);
  at("result").hidden = true;
  found = sound = null;
  await new Promise(done => setTimeout(done, 20));
  const begin = performance.now();
  try {
    sound = await new OfflineAudioContext(1, 1, model.features.sample_rate).decodeAudioData(await blob.arrayBuffer());
  } catch (error) {
    return say(words.unreadable + (blob.name || "") + " " + error.message, true);
  }
  if (sound.duration > LONGEST_S) return say(words.tooLong, true);
  const samples = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    sound.getChannelData(channel).forEach((value, i) => { samples[i] += value / sound.numberOfChannels; });
  }
  found = recognize(model, samples);
  if (!found) return say(words.tooShort, true);
  found.pitch = pitch(samples);
  at("play").disabled = false;
  say(found.syllables.length ? words.took(((performance.now() - begin) / 1000).toFixed(1)) : words.nothing);
  show();
}

async function record() {
  if (recorder) return recorder.stop();
  stopPlaying();
  try {
    const stream = await navigator.mediaDevices.getUserMedia(
      {audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}});
    const lossless = "audio/webm;codecs=pcm", chunks = [];
    recorder = new MediaRecorder(stream, MediaRecorder.isTypeSupported(lossless) ? {mimeType: lossless} : {});
    recorder.ondataavailable = event => chunks.push(event.data);
    recorder.onstop = () => {
      stream.getTracks().forEach(track => track.stop());
      const blob = new Blob(chunks, {type: recorder.mimeType});
      recorder = null;
      at("record").textContent = words.record;
      at("record").classList.remove("recording");
      hear(blob);
    };
    recorder.start();
    at("record").textContent = words.stop;
    at("record").classList.add("recording");
    say(words.recording);
    setTimeout((mine => () => { if (recorder === mine) mine.stop(); })(recorder), LONGEST_S * 1000);
  } catch (error) {
    recorder = null;
    say(words.noMicrophone + error.message, true);
  }
}

// ---- sound out ----

function play(from = 0) {
  stopPlaying();
  if (!sound) return;
  const context = new AudioContext(), source = context.createBufferSource();
  source.buffer = sound;
  source.connect(context.destination);
  source.start(0, from);
  const mine = player = {context, begun: context.currentTime - from};
  source.onended = () => { if (player === mine) stopPlaying(); };
  at("play").textContent = words.pause;
  at("cursor").style.display = "block";
  const move = () => {
    if (player !== mine) return;
    at("cursor").style.left = `${(context.currentTime - mine.begun) * found.scale}px`;
    requestAnimationFrame(move);
  };
  move();
}

function stopPlaying() {
  if (player) player.context.close();
  player = null;
  at("play").textContent = words.play;
  at("cursor").style.display = "none";
}

// ---- the result ----

function show() {
  at("result").hidden = false;
  const {targets, problem} = readTargets();
  const read = targets.length && !problem ? assess(model, found, targets) : null;
  if (targets.length && problem) say(problem, true);
  else if (targets.length && !read) say(words.noFit, true);
  const units = read || found.syllables;
  const shortest = Math.min(1, ...units.filter(one => one.token).map(one => one.end - one.begin));
  found.scale = Math.min(600, Math.max(220, 46 / shortest));
  const width = Math.ceil(sound.duration * found.scale);
  at("strip").style.width = `${width}px`;
  drawPicture(at("picture"), found, width, model.features.frame_shift_ms);
  at("syllables").replaceChildren(...units.filter(one => one.token).map((one, i) => {
    const made = syllableButton(one, i, targets, {model, words, scale: found.scale});
    made.onclick = () => play(one.begin);
    return made;
  }));
  at("said").textContent = units.filter(one => one.token).map(one => accent(model.tokens[one.token])).join(" ");
  at("verdicts").replaceChildren(...(read ? verdictTable(read, targets, {model, words}) : []));
}

// ---- events ----

function start() {
  const json = id => JSON.parse(at(id).textContent);
  model = loadModel(json("model"), at("weights").textContent);
  dictionary = loadDictionary(json("dictionary"));
  at("language").onclick = () => speak(document.documentElement.lang === "en" ? "zh" : "en");
  at("record").onclick = record;
  at("play").onclick = () => (player ? stopPlaying() : play());
  at("text").oninput = () => { showText(); if (found) { say(""); show(); } };
  at("file").onchange = event => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) hear(file);
  };
  at("pick").onkeydown = event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); at("file").click(); } };
  document.addEventListener("keydown", onKey);
  acceptDrops();
  speak((navigator.language || "en").startsWith("zh") ? "zh" : "en");
}

function acceptDrops() {
  document.addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("drop"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("drop"));
  document.addEventListener("drop", event => {
    event.preventDefault();
    document.body.classList.remove("drop");
    if (event.dataTransfer.files.length) hear(event.dataTransfer.files[0]);
  });
}

function onKey(event) {
  const {target, key} = event;
  if (target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  const beside = {ArrowRight: target.nextElementSibling, ArrowLeft: target.previousElementSibling}[key];
  if (key === "r" || key === "R") record();
  else if (key === "o" || key === "O") at("file").click();
  else if (key === " " && target.tagName !== "BUTTON" && target.id !== "pick") player ? stopPlaying() : play();
  else if (beside && target.parentElement.id === "syllables") {
    target.tabIndex = -1;
    beside.tabIndex = 0;
    beside.focus();
  } else return;
  event.preventDefault();
}

if (typeof document !== "undefined") start();
