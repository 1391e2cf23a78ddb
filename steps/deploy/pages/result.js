"use strict";
// What the page shows of a recording: its spectrogram with the pitch, its syllables, and the verdicts on a text.

const HEIGHT = 160;

/** The spectrogram and the pitch of what was found, `width` pixels wide. */
function drawPicture(canvas, found, width, shiftMs) {
  const {features} = found;
  const dense = Math.min(window.devicePixelRatio || 1, 16000 / width);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${HEIGHT}px`;
  canvas.width = width * dense;
  canvas.height = HEIGHT * dense;
  const low = quantile(features.data, 0.02), high = quantile(features.data, 0.998);
  const small = document.createElement("canvas");
  [small.width, small.height] = [features.frames, features.bins];
  const image = new ImageData(features.frames, features.bins);
  features.data.forEach((value, i) => {
    const frame = Math.floor(i / features.bins), line = features.bins - 1 - i % features.bins;
    const grey = 255 * (1 - Math.min(1, Math.max(0, (value - low) / (high - low))));
    image.data.set([grey, grey, grey, 255], 4 * (line * features.frames + frame));
  });
  small.getContext("2d").putImageData(image, 0, 0);
  const context = canvas.getContext("2d");
  context.scale(dense, dense);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, HEIGHT);
  context.drawImage(small, 0, 0, features.frames * shiftMs / 1000 * found.scale, HEIGHT);
  drawPitch(context, found);
}

function drawPitch(context, found) {
  const voiced = [...found.pitch].filter(hertz => !Number.isNaN(hertz)).sort((a, b) => a - b);
  const isVoiced = i => i in found.pitch && !Number.isNaN(found.pitch[i]);
  const lasting = Array.from(found.pitch, (_, i) => isVoiced(i) && [-2, -1, 0].some(  // in three frames, at the least
    first => [0, 1, 2].every(k => isVoiced(i + first + k))));
  const middle = Math.log2(voiced[Math.floor(voiced.length / 2)] || 1);
  for (const [style, line] of [["rgb(255 255 255 / .8)", 7], ["#0b5cad", 3]]) {
    Object.assign(context, {strokeStyle: style, lineWidth: line, lineCap: "round", lineJoin: "round"});
    context.beginPath();
    found.pitch.forEach((hertz, i) => {
      if (!lasting[i]) return;
      const y = HEIGHT * (0.5 - (Math.log2(hertz) - middle) / 2), x = (i + 0.5) * 0.01 * found.scale;
      context[lasting[i - 1] ? "lineTo" : "moveTo"](x, Math.min(HEIGHT - 2, Math.max(2, y)));
    });
    context.stroke();
  }
}

/** The button of a syllable, its place and width by `scale`, pixels a second. */
function syllableButton(one, number, targets, {model, words, scale}) {
  const made = document.createElement("button"), heard = accent(model.tokens[one.token]);
  made.type = "button";
  made.tabIndex = number ? -1 : 0;
  made.style.left = `${one.begin * scale}px`;
  made.style.width = `${Math.max(20, (one.end - one.begin) * scale - 2)}px`;
  const line = (tag, text, name = "") => {
    const element = document.createElement(tag);
    element.textContent = text;
    element.className = name;
    made.append(element);
  };
  if (one.verdict) {
    const wanted = targets[one.target], wrong = one.verdict.error === "Mispronunciation";
    made.className = one.verdict.error;
    line("b", wanted.grapheme === wanted.syllable ? "" : wanted.grapheme);
    line("span", accent(wanted.syllable));
    line("span", wrong ? heard : "", "wrong");
    line("small", `${Math.round(100 * one.verdict.accuracy)}`);
  } else {
    made.className = one.target === null ? "Insertion" : "";
    line("b", one.target === null ? "+" : "");
    line("span", heard);
    line("span", "");
    line("small", `${Math.round(100 * one.confidence)}`);
  }
  made.setAttribute("aria-label", `${words.from} ${heard}`);
  return made;
}

/** How many syllables of the text were right, and a table of them all. */
function verdictTable(read, targets, {model, words}) {
  const right = read.filter(one => one.verdict && one.verdict.error === "None").length;
  const summary = document.createElement("h2");
  summary.textContent = words.summary(right, targets.length);
  const scroll = document.createElement("div"), table = scroll.appendChild(document.createElement("table"));
  scroll.className = "scroll";
  const row = (cells, tag, name) => {
    const made = table.appendChild(document.createElement("tr"));
    made.className = name;
    for (const cell of cells) {
      const element = made.appendChild(document.createElement(tag));
      element.append(cell);
    }
  };
  row(words.columns, "th", "");
  for (const one of read) {
    const said = one.token ? accent(model.tokens[one.token]) : "";
    if (!one.verdict) {
      row(["+", "", said, words.Insertion, "", "", ""], "td", "Insertion");
      continue;
    }
    const wanted = targets[one.target], partsOf = syllable => model.parts[model.tokens.indexOf(syllable)];
    const own = partsOf(wanted.syllable), other = one.token ? model.parts[one.token] : null;
    const off = [0, 1, 2].filter(part => other && wanted.accepted.every(
      form => !model.tokens.includes(form) || partsOf(form)[part] !== other[part]));
    // A part's score supposes that the two others are right. Where several are wrong, they have the syllable's.
    const scores = one.verdict.parts.map((value, part) => (
      off.length > 1 && off.includes(part) ? one.verdict.accuracy : value));
    const wrong = one.verdict.error === "Mispronunciation";
    row([wanted.grapheme, accent(wanted.syllable), said, words[one.verdict.error] + (wrong ? ` · ${off.map(part => words.parts[part]).join(" ")}` : ""),
         ...scores.map((value, part) => (one.token && (own[part] || other[part]) ? meter(value) : ""))],
        "td", one.verdict.error);
  }
  return [summary, scroll];
}

function meter(value) {
  const made = document.createElement("span"), bar = made.appendChild(document.createElement("meter"));
  Object.assign(bar, {min: 0, max: 1, low: 0.3, high: 0.7, optimum: 1, value});
  made.append(` ${Math.round(100 * value)}`);
  return made;
}
