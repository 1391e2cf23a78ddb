"use strict";
// Kaldi's log mel filterbank, as steps/feats makes it, with the window and the filters that steps/deploy/demo.py has of
// kaldi-native-fbank; and the pitch contour.

const FULL_SCALE = 32768;

/** Complex FFT in place of arrays whose length is a power of two. */
function fft(real, imag) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imag[i], imag[j]] = [imag[j], imag[i]];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    for (let k = 0; k < half; k++) {
      const cos = Math.cos(Math.PI * k / half), sin = -Math.sin(Math.PI * k / half);
      for (let i = k; i < size; i += 2 * half) {
        const j = i + half;
        const re = real[j] * cos - imag[j] * sin, im = real[j] * sin + imag[j] * cos;
        real[j] = real[i] - re;
        imag[j] = imag[i] - im;
        real[i] += re;
        imag[i] += im;
      }
    }
  }
}

/** The sample that stands at i where the sound is mirrored at its ends. */
function mirrored(i, length) {
  while (i < 0 || i >= length) i = i < 0 ? -1 - i : 2 * length - 1 - i;
  return i;
}

/** Log mel energies of samples (full scale 1) at the config's rate: {frames, bins, data (frames × bins)}. A filter has the
 * first bin of the FFT that it weighs, and the weights from there on. */
function fbank(samples, config) {
  const length = Math.floor(config.sample_rate * config.frame_length_ms * 0.001);
  const shift = Math.floor(config.sample_rate * config.frame_shift_ms * 0.001);
  const {frames, at} = config.snip_edges
    ? {frames: samples.length < length ? 0 : 1 + Math.floor((samples.length - length) / shift), at: i => samples[i]}
    : {frames: Math.floor((samples.length + Math.floor(shift / 2)) / shift), at: i => samples[mirrored(i, samples.length)]};
  const before = config.snip_edges ? 0 : Math.floor(length / 2) - Math.floor(shift / 2);
  let size = 1;
  while (size < length) size *= 2;
  const {taper, filters} = config, bins = config.num_bins, data = new Float32Array(frames * bins);
  const real = new Float64Array(size), imag = new Float64Array(size), power = new Float64Array(size / 2);
  for (let frame = 0; frame < frames; frame++) {
    real.fill(0);
    imag.fill(0);
    let mean = 0;
    for (let i = 0; i < length; i++) mean += at(frame * shift + i - before);
    mean /= length;
    for (let i = 0; i < length; i++) real[i] = (at(frame * shift + i - before) - mean) * FULL_SCALE;
    for (let i = length - 1; i >= 0; i--) {
      real[i] = (real[i] - config.preemphasis * real[Math.max(i - 1, 0)]) * taper[i];
    }
    fft(real, imag);
    for (let k = 0; k < size / 2; k++) power[k] = real[k] * real[k] + imag[k] * imag[k];
    filters.forEach((filter, bin) => {
      let energy = 0;
      filter.weights.forEach((weight, k) => { energy += weight * power[filter.first + k]; });
      data[frame * bins + bin] = Math.log(Math.max(energy, config.floor));
    });
  }
  return {frames, bins, data};
}

/** Samples at the level of speech that the config asks for, as steps/feats/audio.py scales them. */
function levelled(samples, config) {
  if (config.level_db === null || config.level_db === undefined || !samples.length) return samples;
  const length = Math.min(samples.length, Math.floor(config.sample_rate * 0.025));
  const energies = new Float64Array(Math.floor(samples.length / length));
  energies.forEach((_, frame) => {
    for (let i = 0; i < length; i++) energies[frame] += samples[frame * length + i] ** 2 / length;
  });
  const level = Math.sqrt(quantile(energies, 0.9));
  return level > 0 ? samples.map(value => value * 10 ** (config.level_db / 20) / level) : samples;
}

function quantile(values, part) {
  const sorted = Float64Array.from(values).sort(), at = part * (sorted.length - 1), below = Math.floor(at);
  return sorted[below] + (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]) * (at - below);
}

/** Pitch in hertz for every 10 ms, NaN where unvoiced; samples are at 16000 Hz. In Kaldi's way (Ghahremani et al. 2014):
 * the normalised cross-correlation of each frame with itself, later by one period, on a logarithmic grid of pitches, and
 * by Viterbi's algorithm the contour that is high in it and does not jump. */
function pitch(samples) {
  const RATE = 4000, FACTOR = 4, WINDOW = 100, SHIFT = 40, STEPS = 140, REACH = 12, LOWEST = 60, HIGHEST = 500;
  const slow = decimate(samples, FACTOR), longest = Math.floor(RATE / LOWEST) + 2;
  const count = Math.floor(slow.length / SHIFT);
  const at = i => (i < 0 || i >= slow.length ? 0 : slow[i]);
  const octave = Math.log(HIGHEST / LOWEST) / (STEPS - 1);
  const grid = Array.from({length: STEPS}, (_, step) => LOWEST * Math.exp(octave * step));
  const heights = [], loudness = [];
  for (let frame = 0; frame < count; frame++) {
    const begin = frame * SHIFT + SHIFT / 2 - WINDOW / 2;
    const energy = lag => {
      let sum = 0;
      for (let i = 0; i < WINDOW; i++) sum += at(begin + lag + i) ** 2;
      return sum;
    };
    const own = energy(0), correlation = new Float64Array(longest + 1);
    for (let lag = 0; lag <= longest; lag++) {
      let product = 0;
      for (let i = 0; i < WINDOW; i++) product += at(begin + i) * at(begin + lag + i);
      correlation[lag] = product / Math.sqrt(energy(lag) * own + 1e-12);
    }
    heights.push(grid.map(hertz => {
      const lag = RATE / hertz, below = Math.floor(lag), part = lag - below;
      return correlation[below] * (1 - part) + correlation[below + 1] * part;
    }));
    loudness.push(Math.sqrt(own / WINDOW));
  }
  const loudest = loudness.reduce((a, b) => Math.max(a, b), 0);
  let score = new Float64Array(STEPS);
  const origins = heights.map((height, frame) => {
    const next = new Float64Array(STEPS), origin = new Int16Array(STEPS);
    for (let step = 0; step < STEPS; step++) {
      let best = -Infinity;
      for (let from = Math.max(0, step - REACH); from <= Math.min(STEPS - 1, step + REACH); from++) {
        const value = frame ? score[from] - 30 * ((from - step) * octave) ** 2 : 0;
        if (value > best) { best = value; origin[step] = from; }
      }
      next[step] = best + height[step] * (1 - 0.1 * grid[STEPS - 1 - step] / HIGHEST);
    }
    score = next;
    return origin;
  });
  const found = new Float64Array(count).fill(NaN);
  let step = score.indexOf(Math.max(...score));
  for (let frame = count - 1; frame >= 0; frame--) {
    if (heights[frame][step] > 0.6 && loudness[frame] > 0.05 * loudest) found[frame] = grid[step];
    step = origins[frame][step];
  }
  return found;
}

/** Every factor-th sample, behind a low pass (a sinc in a Hann window). */
function decimate(samples, factor) {
  const reach = 12 * factor, taps = [];
  for (let i = -reach; i <= reach; i++) {
    const x = Math.PI * i / factor * 0.9;
    taps.push((i ? Math.sin(x) / x : 1) * 0.9 / factor * (0.5 + 0.5 * Math.cos(Math.PI * i / (reach + 1))));
  }
  const found = new Float64Array(Math.ceil(samples.length / factor));
  for (let i = 0; i < found.length; i++) {
    let sum = 0;
    for (let k = -reach; k <= reach; k++) {
      const at = i * factor + k;
      if (at >= 0 && at < samples.length) sum += samples[at] * taps[k + reach];
    }
    found[i] = sum;
  }
  return found;
}
