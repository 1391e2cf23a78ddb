"use strict";
// The few operators of the exported network. A tensor is {shape, data}: (channels, frames, bins) before Flatten,
// (frames, width) behind it.

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

function byLastAxis(operation) {
  return ([x, constant]) => {
    const width = constant.data.length, data = new Float32Array(x.data.length);
    for (let i = 0; i < data.length; i++) data[i] = operation(x.data[i], constant.data[i % width]);
    return {shape: x.shape, data};
  };
}

const OPERATORS = {
  Max: byLastAxis((a, b) => Math.max(a, b)),

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

  Add([x, y]) {
    if (y.data.length !== x.data.length) return byLastAxis((a, b) => a + b)([x, y]);
    const data = new Float32Array(x.data.length);
    for (let i = 0; i < data.length; i++) data[i] = x.data[i] + y.data[i];
    return {shape: x.shape, data};
  },

  Relu([x]) {
    const data = new Float32Array(x.data.length);
    for (let i = 0; i < data.length; i++) data[i] = x.data[i] > 0 ? x.data[i] : 0;
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
