"use strict";
// The exported network, and CTC. The few operators come first; a tensor is {shape, data}: (channels, frames, bins) before
// Flatten, (frames, width) behind it. Then log-probabilities {frames, tokens, data} become syllables and their times, as
// in steps/search/ctc.py and alignment.py.

/** Runs the nodes of a model on features {frames, bins, data}. Returns log-probabilities {frames, tokens, data}. */
function runNetwork(model, features) {
  const values = {x: {shape: [1, features.frames, features.bins], data: features.data}};
  let last = values.x;
  for (const node of model.nodes) {
    const inputs = node.inputs.map(name => values[name] || model.constants[name]);
    last = values[node.output] = OPERATORS[node.op](inputs, node);
  }
  const frames = model.lengths.reduce((size, [stride, added]) => Math.floor((size + added) / stride), features.frames);
  const tokens = last.shape[1];
  return {frames: Math.max(0, frames), tokens, data: last.data.subarray(0, Math.max(0, frames) * tokens)};
}

/** An operation on each value and the one of y that stands there: of its last axis, or of the same shape. */
function byValue(operation) {
  return ([x, y]) => {
    const width = y.data.length, data = new Float32Array(x.data.length);
    for (let i = 0; i < data.length; i++) data[i] = operation(x.data[i], y.data[i % width]);
    return {shape: x.shape, data};
  };
}

const OPERATORS = {
  Max: byValue((a, b) => Math.max(a, b)),
  Add: byValue((a, b) => a + b),
  Relu: ([x]) => ({shape: x.shape, data: x.data.map(value => Math.max(value, 0))}),

  /** As apply_cmvn in steps/feats/archive.py: the mean is that of training, or the utterance's with that as prior. */
  Normalize([x, mean, std], node) {
    const bins = mean.data.length, frames = x.data.length / bins, data = new Float32Array(x.data.length);
    for (let bin = 0; bin < bins; bin++) {
      let total = node.cmn_frames * mean.data[bin];
      if (node.cmn_frames) for (let frame = 0; frame < frames; frame++) total += x.data[frame * bins + bin];
      const offset = node.cmn_frames ? total / (frames + node.cmn_frames) : mean.data[bin];
      for (let i = bin; i < data.length; i += bins) data[i] = (x.data[i] - offset) / std.data[bin];
    }
    return {shape: x.shape, data};
  },

  /** Zeros behind the end: what the network sees there, up to a multiple of node.round frames. */
  Pad([x], node) {
    const [channels, frames, bins] = x.shape;
    const padded = Math.floor((frames + node.reach + node.round - 1) / node.round) * node.round;
    const data = new Float32Array(padded * bins);
    data.set(x.data);
    return {shape: [channels, padded, bins], data};
  },

  BatchNormalization([x, gamma, beta, mean, variance], node) {
    const size = x.shape[1] * x.shape[2], data = new Float32Array(x.data.length);
    for (let channel = 0; channel < x.shape[0]; channel++) {
      const scale = gamma.data[channel] / Math.sqrt(variance.data[channel] + node.epsilon);
      const shift = beta.data[channel] - mean.data[channel] * scale;
      for (let i = channel * size; i < (channel + 1) * size; i++) data[i] = x.data[i] * scale + shift;
    }
    return {shape: x.shape, data};
  },

  MaxPool([x], node) {
    const [channels, frames, bins] = x.shape, [high, wide] = node.kernel;
    const outFrames = Math.floor(frames / high), outBins = Math.floor(bins / wide);
    const data = new Float32Array(channels * outFrames * outBins).fill(-Infinity);
    for (let channel = 0; channel < channels; channel++) {
      for (let frame = 0; frame < outFrames * high; frame++) {
        const from = (channel * frames + frame) * bins;
        const to = (channel * outFrames + Math.floor(frame / high)) * outBins;
        for (let bin = 0; bin < outBins * wide; bin++) {
          const at = to + Math.floor(bin / wide);
          if (x.data[from + bin] > data[at]) data[at] = x.data[from + bin];
        }
      }
    }
    return {shape: [channels, outFrames, outBins], data};
  },

  /** Patches of the input, one a column, times the weights; a few frames at a time, so that they stay in the cache. */
  Conv([x, weight, bias], node) {
    const [channels, frames, bins] = x.shape, [outChannels] = weight.shape;
    const [high, wide] = node.kernel, [down, across] = node.stride;
    const [top, left, bottom, right] = node.pads;
    const outFrames = Math.floor((frames + top + bottom - high) / down) + 1;
    const outBins = Math.floor((bins + left + right - wide) / across) + 1;
    const depth = channels * high * wide, rows = Math.max(1, Math.floor(2048 / outBins));
    const data = new Float32Array(outChannels * outFrames * outBins);
    for (let begin = 0; begin < outFrames; begin += rows) {
      const some = Math.min(rows, outFrames - begin), columns = some * outBins;
      const patches = new Float32Array(depth * columns);
      for (let row = 0; row < depth; row++) {
        const channel = Math.floor(row / (high * wide)), tap = row % (high * wide);
        const dy = Math.floor(tap / wide) - top, dx = tap % wide - left;
        for (let line = 0; line < some; line++) {
          const frame = (begin + line) * down + dy;
          if (frame < 0 || frame >= frames) continue;
          const from = (channel * frames + frame) * bins, to = row * columns + line * outBins;
          for (let out = 0; out < outBins; out++) {
            const bin = out * across + dx;
            if (bin >= 0 && bin < bins) patches[to + out] = x.data[from + bin];
          }
        }
      }
      for (let out = 0; out < outChannels; out++) {
        const at = (out * outFrames + begin) * outBins;
        const sums = data.subarray(at, at + columns).fill(bias.data[out]);
        addRows(sums, weight.data.subarray(out * depth, (out + 1) * depth), patches);
      }
    }
    return {shape: [outChannels, outFrames, outBins], data};
  },

  /** (channels, frames, bins) to (frames, bins × channels). */
  Flatten([x]) {
    const [channels, frames, bins] = x.shape, data = new Float32Array(x.data.length);
    for (let channel = 0; channel < channels; channel++) {
      for (let i = 0; i < frames * bins; i++) data[i * channels + channel] = x.data[channel * frames * bins + i];
    }
    return {shape: [frames, bins * channels], data};
  },

  MatMul([x, weight]) {
    const [frames, depth] = x.shape, width = weight.shape[1], data = new Float32Array(frames * width);
    for (let frame = 0; frame < frames; frame++) {
      addRows(data.subarray(frame * width, (frame + 1) * width), x.data.subarray(frame * depth, (frame + 1) * depth),
              weight.data);
    }
    return {shape: [frames, width], data};
  },

  LogSoftmax([x]) {
    const [frames, width] = x.shape, data = new Float32Array(x.data.length);
    for (let begin = 0; begin < frames * width; begin += width) {
      let highest = -Infinity, sum = 0;
      for (let i = begin; i < begin + width; i++) if (x.data[i] > highest) highest = x.data[i];
      for (let i = begin; i < begin + width; i++) sum += Math.exp(x.data[i] - highest);
      for (let i = begin; i < begin + width; i++) data[i] = x.data[i] - highest - Math.log(sum);
    }
    return {shape: x.shape, data};
  },
};

/** sums += Σ factors[i] × row i of matrix, four rows at a time. */
function addRows(sums, factors, matrix) {
  const width = sums.length, whole = factors.length - factors.length % 4;
  for (let row = 0; row < whole; row += 4) {
    const a = factors[row], b = factors[row + 1], c = factors[row + 2], d = factors[row + 3];
    const first = row * width, second = first + width, third = second + width, fourth = third + width;
    for (let i = 0; i < width; i++) {
      sums[i] += a * matrix[first + i] + b * matrix[second + i] + c * matrix[third + i] + d * matrix[fourth + i];
    }
  }
  for (let row = whole; row < factors.length; row++) {
    for (let i = 0; i < width; i++) sums[i] += factors[row] * matrix[row * width + i];
  }
}

/** The model of a page: its JSON, and the weights behind one another as float32 in base64. */
function loadModel(description, base64) {
  const bytes = Uint8Array.from(atob(base64), char => char.charCodeAt(0));
  const constants = {};
  let offset = 0;
  for (const [name, shape] of description.shapes) {
    const size = shape.reduce((a, b) => a * b, 1);
    constants[name] = {shape, data: new Float32Array(bytes.buffer, offset, size)};
    offset += 4 * size;
  }
  return {...description, constants};
}

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
