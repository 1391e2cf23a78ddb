"use strict";
// Texts to syllables (pinyin with digits or accents, and hanzi by a small dictionary), and the verdict on how a text was
// read, from log-probabilities {frames, tokens, data}. As steps/deploy/assess.py and edits in steps/search/ctc.py.

const ACCENTS = {a: "āáǎà", e: "ēéěè", i: "īíǐì", o: "ōóǒò", u: "ūúǔù", "ü": "ǖǘǚǜ"};

/** ni3 to nǐ. */
function accent(syllable) {
  const base = syllable.slice(0, -1).replace("v", "ü"), tone = Number(syllable.slice(-1));
  if (tone === 5) return base;
  const at = /[ae]/.test(base) ? base.search(/[ae]/) : base.includes("ou") ? base.indexOf("o")
    : Math.max(...[..."iouü"].map(vowel => base.lastIndexOf(vowel)));
  if (at < 0) return base + ["", "\u0304", "\u0301", "\u030c", "\u0300"][tone];
  return base.slice(0, at) + ACCENTS[base[at]][tone - 1] + base.slice(at + 1);
}

/** nǐ, ni3, Lü4, lu:4 to a syllable with its digit; a syllable without either has the neutral tone. */
function digits(written) {
  let text = written.normalize("NFC").toLowerCase().replace("u:", "ü"), tone = "5";
  const digit = text.match(/[0-5]$/);
  if (digit) {
    tone = digit[0] === "0" ? "5" : digit[0];
    text = text.slice(0, -1);
  }
  for (const [vowel, marked] of Object.entries(ACCENTS)) {
    [...marked].forEach((char, number) => {
      if (text.includes(char)) { text = text.replace(char, vowel); tone = String(number + 1); }
    });
  }
  return text.replace("ü", "v").replace(/^([jqxy])v/, "$1u").replace(/^([ln])ue$/, "$1ve") + tone;
}

/** A dictionary of the page: characters by syllable ("ni3": "你拟…"), and phrases that are read otherwise. */
function loadDictionary({characters, phrases}) {
  const single = new Map(), longer = new Map();
  for (const [syllable, chars] of Object.entries(characters)) for (const char of chars) single.set(char, syllable);
  for (const line of phrases.split("\n")) {
    const [phrase, ...syllables] = line.split(" ");
    longer.set(phrase, syllables);
  }
  return {single, longer};
}

/** The targets of a text: {targets: [{syllable, accepted, grapheme}], unknown: what could not be read}. */
function readText(text, dictionary) {
  const found = [], unknown = [];
  for (const run of text.matchAll(/\p{Script=Han}+|[a-zü:\u00c0-\u01ff\u0300-\u030c]+[0-5]?/giu)) {
    if (!/\p{Script=Han}/u.test(run[0])) {
      found.push({syllable: digits(run[0]), grapheme: run[0], hanzi: false});
      continue;
    }
    const chars = [...run[0]];
    for (let at = 0; at < chars.length;) {
      let size = Math.min(4, chars.length - at);
      while (size > 1 && !dictionary.longer.has(chars.slice(at, at + size).join(""))) size--;
      const phrase = chars.slice(at, at + size).join("");
      const syllables = size > 1 ? dictionary.longer.get(phrase) : [dictionary.single.get(phrase)];
      [...phrase].forEach((char, i) => {
        if (syllables[i]) found.push({syllable: syllables[i], grapheme: char, hanzi: true});
        else unknown.push(char);
      });
      at += size;
    }
  }
  return {targets: found.map((one, at) => ({syllable: one.syllable, grapheme: one.grapheme,
                                            accepted: acceptedForms(one, found[at - 1], found[at + 1])})), unknown};
}

/** A third tone before another may be a second; 一 and 不 may change by what follows. */
function acceptedForms(one, before, behind) {
  const forms = [one.syllable], base = one.syllable.slice(0, -1), tone = one.syllable.slice(-1);
  const next = behind ? (behind.grapheme === "个" ? "4" : behind.syllable.slice(-1)) : "";
  if (tone === "3" && next === "3") forms.push(base + "2");
  if (!one.hanzi || !behind || !"一不".includes(one.grapheme)) return forms;
  const inNumber = before && /[第〇零一二三四五六七八九十]/.test(before.grapheme);
  if (before && before.grapheme === behind.grapheme) forms.push(base + "5");
  else if (one.grapheme === "一" && !inNumber) forms.push(next === "4" ? "yi2" : "yi4");
  else if (one.grapheme === "不" && next === "4") forms.push("bu2");
  return forms;
}

const FLOOR = -100, NEGLIGIBLE = 100, LEAST = 1e-300, DOUBT = 3;

function logAdd(a, b) {
  if (a === -Infinity) return b;
  if (b === -Infinity) return a;
  return a > b ? a + Math.log1p(Math.exp(b - a)) : b + Math.log1p(Math.exp(a - b));
}

function logSum(values) {
  const highest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (highest === -Infinity) return highest;
  return highest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - highest), 0));
}

/** All texts one edit away from labels: {total, instead: [per syllable], between: [per gap]}, rows of tokens. */
function edits({frames, tokens, data}, labels) {
  const logProbs = Float64Array.from(data, value => Math.max(value, FLOOR));
  const emitted = logProbs.map(Math.exp);
  const heights = new Float64Array(frames + 1);
  for (let frame = 0; frame < frames; frame++) {
    let highest = -Infinity;
    for (let q = 1; q < tokens; q++) highest = Math.max(highest, logProbs[frame * tokens + q]);
    heights[frame + 1] = heights[frame] + highest;
  }
  const at = (frame, token) => logProbs[frame * tokens + token];
  const before = prefixes(at, frames, labels);
  const mirrored = prefixes((frame, token) => at(frames - 1 - frame, token), frames, [...labels].reverse());
  const turn = rows => rows.reverse().map(row => row.reverse());
  const behind = {blank: turn(mirrored.blank), label: turn(mirrored.label)};
  const fill = (first, rest) => fillings(before, behind, {emitted, heights, tokens}, labels, first, rest);
  const between = [...labels, 0].map((_, place) => fill(place, place));
  return {total: between[0][0], instead: labels.map((_, place) => fill(place, place + 1)), between};
}

/** Forward variables [labels + 1][frames + 1] of every prefix that end in a blank, and in its last label. */
function prefixes(at, frames, labels) {
  const make = () => Array.from({length: labels.length + 1}, () => new Float64Array(frames + 1).fill(-Infinity));
  const blank = make(), label = make();
  blank[0][0] = 0;
  for (let frame = 0; frame < frames; frame++) {
    for (let i = 0; i <= labels.length; i++) {
      blank[i][frame + 1] = at(frame, 0) + logAdd(blank[i][frame], label[i][frame]);
      if (i === 0) continue;
      const repeats = i > 1 && labels[i - 1] === labels[i - 2];
      const entering = repeats ? blank[i - 1][frame] : logAdd(blank[i - 1][frame], label[i - 1][frame]);
      label[i][frame + 1] = at(frame, labels[i - 1]) + logAdd(label[i][frame], entering);
    }
  }
  return {blank, label};
}

function fillings(before, behind, sound, labels, first, rest) {
  const last = first ? labels[first - 1] : -1, following = rest < labels.length ? labels[rest] : -1;
  const enter = before.blank[first].map((value, t) => logAdd(value, before.label[first][t]));
  const leave = behind.blank[rest].map((value, t) => logAdd(value, behind.label[rest][t]));
  const filled = through(enter, leave, sound, 0, sound.tokens);
  for (const token of new Set([last, following])) {
    if (token < 0) continue;
    filled[token] = through(token === last ? before.blank[first] : enter,
                            token === following ? behind.blank[rest] : leave, sound, token, token + 1)[0];
  }
  const joining = last === following ? before.blank[first] : enter;
  filled[0] = following < 0 ? enter[enter.length - 1]
    : logSum(Array.from(joining, (value, t) => value + behind.label[rest][t]));
  return filled;
}

/** Log of the sum over runs of frames s..t of tokens from..to: enter[s], the run's probability, leave[t + 1]. */
function through(enter, leave, {emitted, heights, tokens}, from, to) {
  const frames = enter.length - 1, byBegin = new Float64Array(frames), byEnd = new Float64Array(frames);
  let entered = -Infinity, left = -Infinity, best = -Infinity;
  for (let t = 0; t < frames; t++) {
    entered = Math.max(entered, enter[t] - heights[t]);
    byEnd[t] = entered + heights[t + 1] + leave[t + 1];
    best = Math.max(best, byEnd[t]);
  }
  const total = new Float64Array(to - from);
  if (best === -Infinity) return total.fill(-Infinity);
  for (let t = frames - 1; t >= 0; t--) {
    left = Math.max(left, heights[t + 1] + leave[t + 1]);
    byBegin[t] = enter[t] - heights[t] + left;
  }
  const first = byBegin.findIndex(value => value >= best - NEGLIGIBLE);
  let last = frames - 1;
  while (byEnd[last] < best - NEGLIGIBLE) last--;
  for (let t = first; t <= last + 1; t++) best = Math.max(best, enter[t] + leave[t]);
  const run = new Float64Array(to - from);
  for (let t = first; t <= last; t++) {
    const begin = Math.exp(enter[t] + leave[t] - best);
    const step = leave[t + 1] === -Infinity ? 0 : Math.exp(leave[t + 1] - leave[t]);
    for (let q = 0; q < run.length; q++) {
      run[q] = (run[q] + begin) * emitted[t * tokens + from + q] * step;
      total[q] += run[q];
    }
  }
  return total.map(value => Math.log(Math.max(value, LEAST)) + best);
}

function argmax(row) {
  let best = 0;
  for (let q = 1; q < row.length; q++) if (row[q] > row[best]) best = q;
  return best;
}

/** What was said, as near to labels as the sound allows: {said, found (its edits)}. */
function listen(logProbs, labels) {
  let said = [...labels], found = edits(logProbs, said);
  for (;;) {
    const changes = changesOf(said, found);
    let better = null;
    for (const some of [changes, changes.slice(0, 1)]) {
      if (!some.length || better) continue;
      const edited = changed(said, some), again = edits(logProbs, edited);
      if (again.total > found.total) better = {said: edited, found: again};
    }
    if (!better) return {said, found};
    ({said, found} = better);
  }
}

function changesOf(said, found) {
  const rows = [...found.instead.map((row, i) => [2 * i + 1, row, said[i]]),
                ...found.between.map((row, i) => [2 * i, row, 0])];
  const possible = rows.map(([place, row, now]) => ({place, token: argmax(row), now, gain: Math.max(...row) - found.total}))
    .filter(change => change.token !== change.now && change.gain > DOUBT).sort((a, b) => b.gain - a.gain);
  const chosen = [];
  for (const change of possible) {
    if (chosen.every(other => Math.abs(change.place - other.place) > 2)) chosen.push(change);
  }
  return chosen;
}

function changed(said, changes) {
  const edited = [...said];
  for (const change of [...changes].sort((a, b) => b.place - a.place)) {
    edited.splice(Math.floor(change.place / 2), change.place % 2, ...(change.token ? [change.token] : []));
  }
  return edited;
}

/** Which syllable of the text each one that was said stands for: [{target or null, token or 0}]. */
function match(said, targets, tokens, parts) {
  const cost = (target, token) => {
    if (target.accepted.includes(tokens[token])) return 0;
    const wanted = parts[tokens.indexOf(target.syllable)];
    return 0.5 + parts[token].filter((part, i) => part !== wanted[i]).length / 3;
  };
  const least = Array.from({length: targets.length + 1}, (_, row) =>
    Array.from({length: said.length + 1}, (_, column) => row + column));
  for (let row = 1; row <= targets.length; row++) {
    for (let column = 1; column <= said.length; column++) {
      least[row][column] = Math.min(least[row - 1][column - 1] + cost(targets[row - 1], said[column - 1]),
                                    least[row - 1][column] + 1, least[row][column - 1] + 1);
    }
  }
  const heard = [];
  for (let row = targets.length, column = said.length; row || column;) {
    const here = least[row][column];
    if (row && column && here === least[row - 1][column - 1] + cost(targets[row - 1], said[column - 1])) {
      heard.unshift({target: --row, token: said[--column]});
    } else if (row && here === least[row - 1][column] + 1) {
      heard.unshift({target: --row, token: 0});
    } else {
      heard.unshift({target: null, token: said[--column]});
    }
  }
  return heard;
}

/** The verdict on each syllable of the text: [{said, error, accuracy, parts: [initial, final, tone] in 0..1}]. */
function judge(logProbs, targets, tokens, parts) {
  const labels = targets.map(target => tokens.indexOf(target.syllable));
  if (edits(logProbs, labels).total === -Infinity) return null;
  const {said, found} = listen(logProbs, labels), verdicts = [];
  let place = 0;
  const heard = match(said, targets, tokens, parts).map(one => {
    const row = one.token ? found.instead[place++] : found.between[place];
    if (one.target === null) return one;
    const right = targets[one.target].accepted.map(form => tokens.indexOf(form)).filter(q => q > 0);
    const token = right.includes(one.token) ? right.reduce((a, b) => (row[b] > row[a] ? b : a)) : one.token;
    verdicts.push(verdict(token, right, row, parts));
    return {...one, token};
  });
  return {heard, said: heard.map(one => one.token).filter(token => token), verdicts};
}

function verdict(token, right, row, parts) {
  const whole = logSum(Array.from(row));
  const ofRight = logSum(right.map(q => row[q]));
  const odds = [0, 1, 2].map(part => {
    const wanted = right.map(q => parts[q]);
    const alike = parts.map((own, q) => q).filter(q => q && wanted.some(other =>
      [0, 1, 2].every(axis => axis === part || parts[q][axis] === other[axis])));
    return Math.exp(ofRight - logSum(alike.map(q => row[q])));
  });
  const error = !token ? "Omission" : right.includes(token) ? "None" : "Mispronunciation";
  return {said: token, error, accuracy: Math.exp(ofRight - whole), parts: odds};
}
