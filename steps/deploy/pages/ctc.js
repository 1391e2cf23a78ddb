"use strict";
// From log-probabilities {frames, tokens, data} to syllables and their times. As steps/search/ctc.py and alignment.py.

/** The likeliest token of every frame, repeats collapsed, blanks removed: [{token, first, last, posterior}]. */
function greedy({frames, tokens, data}) {
  const found = [];
  let before = 0;
  for (let frame = 0; frame < frames; frame++) {
    let token = 0;
    for (let q = 1; q < tokens; q++) if (data[frame * tokens + q] > data[frame * tokens + token]) token = q;
    const posterior = Math.exp(data[frame * tokens + token]);
    if (token && token === before) {
      const emission = found[found.length - 1];
      emission.last = frame;
      emission.posterior = Math.max(emission.posterior, posterior);
    } else if (token) {
      found.push({token, first: frame, last: frame, posterior});
    }
    before = token;
  }
  return found;
}

/** The likeliest path that spells labels: [{token, first, last, posterior}]. */
function align({frames, tokens, data}, labels) {
  const path = labels.flatMap(label => [label, 0]);
  path.unshift(0);
  let score = path.map((token, state) => (state < 2 ? data[token] : -Infinity));
  const back = [new Uint8Array(path.length)];
  for (let frame = 1; frame < frames; frame++) {
    const steps = new Uint8Array(path.length);
    score = path.map((token, state) => {
      let best = score[state];
      if (state > 0 && score[state - 1] > best) { best = score[state - 1]; steps[state] = 1; }
      if (state > 2 && token && token !== path[state - 2] && score[state - 2] > best) {
        best = score[state - 2];
        steps[state] = 2;
      }
      return best + data[frame * tokens + token];
    });
    back.push(steps);
  }
  let state = score[path.length - 1] >= score[path.length - 2] ? path.length - 1 : path.length - 2;
  const found = labels.map(token => ({token, first: frames, last: 0, posterior: 0}));
  for (let frame = frames - 1; frame >= 0; frame--) {
    if (state % 2) {
      const emission = found[(state - 1) / 2];
      emission.first = frame;
      emission.last = Math.max(emission.last, frame);
      emission.posterior = Math.max(emission.posterior, Math.exp(data[frame * tokens + path[state]]));
    }
    state -= back[frame][state];
  }
  return found;
}

/** Where syllables begin and end, in seconds, from the frames that emit them and the features: [{begin, end}]. */
function spans(emissions, features, reduction, place, shiftMs) {
  if (!emissions.length) return [];
  const voice = voiceOf(features), edges = [voice.onset];
  const spikes = emissions.map(one => (one.first + one.last) / 2 * reduction);
  for (let i = 0; i + 1 < spikes.length; i++) {
    const expected = Math.round(spikes[i] + (1 - place) * (spikes[i + 1] - spikes[i]));
    edges.push(boundary(voice.level, expected, Math.round(spikes[i]), edges[i], shiftMs));
  }
  edges.push(Math.max(voice.offset + 1, edges[edges.length - 1] + 1));
  return emissions.map((_, i) => {
    const [begin, end] = withoutPauses(voice.loudness, edges[i], edges[i + 1], 120 / shiftMs);
    return {begin: begin * shiftMs / 1000, end: end * shiftMs / 1000};
  });
}

/** A syllable's frames without a silence at either end that is longer than longest. As in
 *  steps/deploy/pronunciation.py. */
function withoutPauses(loudness, begin, end, longest) {
  const threshold = (quantile(loudness, 0.05) + quantile(loudness, 0.95)) / 2;
  let first = begin, last = Math.min(end, loudness.length) - 1;
  while (first <= last && loudness[first] < threshold) first++;
  if (first > last) return [begin, end];
  while (loudness[last] < threshold) last--;
  return [first - begin > longest ? first : begin, end - 1 - last > longest ? last + 1 : end];
}

function voiceOf({frames, bins, data}) {
  const half = Math.floor(bins / 2), level = new Float64Array(frames), loudness = new Float64Array(frames);
  for (let frame = 0; frame < frames; frame++) {
    for (let bin = 0; bin < bins; bin++) {
      loudness[frame] += data[frame * bins + bin] / bins;
      if (bin < half) level[frame] += data[frame * bins + bin] / half;
    }
  }
  const smooth = level.map((_, frame) => {
    let sum = 0;
    for (let k = -2; k <= 2; k++) sum += level[Math.min(Math.max(frame + k, 0), frames - 1)] / 5;
    return sum;
  });
  const threshold = (quantile(loudness, 0.05) + quantile(loudness, 0.95)) / 2, speech = [];
  loudness.forEach((value, frame) => { if (value >= threshold) speech.push(frame); });
  return {level: smooth, loudness, onset: speech[0], offset: speech[speech.length - 1]};
}

function boundary(level, expected, spike, before, shiftMs) {
  const reach = Math.round(80 / shiftMs), shortest = Math.round(80 / shiftMs);
  const first = Math.min(Math.max(expected - reach, before + shortest), level.length - 1);
  const end = Math.max(first + 1, Math.min(expected + reach + 1, level.length - shortest));
  let dip = first, least = Infinity;
  for (let frame = first; frame < end; frame++) {
    const value = level[frame] + 0.7 * ((frame - expected) / reach) ** 2;
    if (value < least) { least = value; dip = frame; }
  }
  let peak = Math.min(spike, dip);
  for (let frame = peak; frame <= dip; frame++) if (level[frame] > level[peak]) peak = frame;
  const left = level[dip] + 0.3 * (level[peak] - level[dip]);
  while (dip - 1 > peak && level[dip - 1] < left) dip--;
  return Math.max(dip, Math.min(before + shortest, level.length - 1));
}
