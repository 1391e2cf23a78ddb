"""Log spectrogram and Kaldi's fbank of an utterance."""

import functools
import itertools
from collections.abc import Iterable, Iterator

import kaldi_native_fbank as knf
import numpy as np
from scipy import fft

from steps.common.errors import UserError
from steps.config.schema import Features
from steps.feats.audio import level_speech

FULL_SCALE = 32768.0  # Kaldi computes on 16-bit numbers


@functools.lru_cache(maxsize=8)
def frame_options(config: Features) -> knf.FrameExtractionOptions:
    """The config as Kaldi's FrameExtractionOptions: no dither."""
    options = knf.FrameExtractionOptions()
    options.samp_freq = config.sample_rate
    options.frame_length_ms = config.frame_length_ms
    options.frame_shift_ms = config.frame_shift_ms
    options.window_type = config.window
    options.preemph_coeff = config.preemphasis
    options.dither = 0.0
    options.snip_edges = config.snip_edges
    return options


@functools.lru_cache(maxsize=8)
def window(config: Features) -> np.ndarray:
    """The window function, float32 (frame_length,)."""
    return np.array(knf.FeatureWindowFunction(frame_options(config)).window, np.float32)


@functools.lru_cache(maxsize=8)
def noise_energy(config: Features) -> float:
    """Energy that white noise of `floor_db` has in a bin of the FFT: the floor of all features.

    By default the noise is of one 16-bit step, which Kaldi's default dither leaves in digital silence; without it that
    would be minus infinity. A higher floor fills the holes that mp3 and its like cut into a spectrogram. Nothing is
    random here.
    """
    deviation = FULL_SCALE * 10 ** (config.floor_db / 20)
    return float(deviation**2 * np.square(window(config), dtype=np.float64).sum())


def frame_length(config: Features) -> int:
    """Samples of a frame."""
    return int(config.sample_rate * config.frame_length_ms * 0.001)


def frame_shift(config: Features) -> int:
    """Samples from a frame's begin to the next one's."""
    return int(config.sample_rate * config.frame_shift_ms * 0.001)


def num_frames(samples: int, config: Features) -> int:
    """Frames of `samples`. With snip_edges those that fit whole into it: frame t begins at t × frame_shift. Else one
    for each frame_shift, whose middle frame t has for its own."""
    if config.snip_edges:
        return max(0, 1 + (samples - frame_length(config)) // frame_shift(config))
    return (samples + frame_shift(config) // 2) // frame_shift(config)


def spectrogram_parts(blocks: Iterable[np.ndarray], config: Features) -> Iterator[np.ndarray]:
    """ln |FFT| of each windowed frame, its lowest `num_bins` bins: float32 (frames, num_bins), some at a time.

    `blocks` are as `compute_feats` takes them. The FFT is as long as the frame: at 25 ms bin k lies at 40 k Hz.
    Magnitudes are of 16-bit numbers, and floored at `floor_db`.
    """
    length, shift = frame_length(config), frame_shift(config)
    scaled = window(config) * np.float32(FULL_SCALE)
    floor = np.float32(noise_energy(config) ** 0.5)
    rest = np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        count = num_frames(len(rest), config)
        if count:
            frames = np.lib.stride_tricks.sliding_window_view(rest, length)[: count * shift : shift]
            spectrum = fft.rfft(frames * scaled, axis=1)[:, :config.num_bins]
            yield np.log(np.maximum(np.abs(spectrum), floor))
            rest = rest[count * shift:]


@functools.lru_cache(maxsize=8)
def fbank_options(config: Features) -> knf.FbankOptions:
    """The config as Kaldi's FbankOptions. Against Kaldi's defaults: no dither, and the floor that stands for it."""
    options = knf.FbankOptions()
    options.frame_opts = frame_options(config)
    options.mel_opts.num_bins = config.num_bins
    options.mel_opts.low_freq = config.low_freq
    options.mel_opts.high_freq = config.high_freq
    options.eps = noise_energy(config)
    return options


def fbank_parts(blocks: Iterable[np.ndarray], config: Features) -> Iterator[np.ndarray]:
    """ln mel energies of 16-bit numbers, as compute-fbank-feats gives them: float32 (frames, num_bins), some at a time.

    `blocks` are as `compute_feats` takes them.
    """
    fbank, done = knf.OnlineFbank(fbank_options(config)), 0
    for block in itertools.chain(blocks, [None]):
        if block is None:
            fbank.input_finished()  # without snip_edges the last frames wait for it
        else:
            scaled = block * np.float32(FULL_SCALE)
            fbank.accept_waveform(config.sample_rate, scaled.tolist())  # pybind11 converts a list twice as fast
        ready = fbank.num_frames_ready
        if ready > done:
            yield np.stack([fbank.get_frame(frame) for frame in range(done, ready)])
            fbank.pop(ready - done)
            done = ready


PARTS = {"spectrogram": spectrogram_parts, "fbank": fbank_parts}
BLOCK = 1 << 16  # samples at once: an hour of audio would take gigabytes


def compute_feats(samples: np.ndarray | Iterable[np.ndarray], config: Features) -> np.ndarray:
    """Features of audio at the config's sample rate, full scale ±1: float32 (frames, num_bins).

    `samples` are float32 (samples,), or blocks of such. With `level_db` they are first scaled to that level, for which
    they are held in memory. Frame t begins t × frame_shift_ms after the first sample (`num_frames` says more). Raises
    UserError where there is none, and where a feature is NaN or infinite.
    """
    if config.level_db is not None:
        whole = samples if isinstance(samples, np.ndarray) else np.concatenate([*samples, np.zeros(0, np.float32)])
        samples = level_speech(whole, config.sample_rate, config.level_db) if len(whole) else whole
    if isinstance(samples, np.ndarray):
        blocks = (samples[begin:begin + BLOCK] for begin in range(0, len(samples), BLOCK))
    else:
        blocks = samples
    feats, done = np.empty((0, config.num_bins), np.float32), 0
    for part in PARTS[config.type](blocks, config):
        if not np.isfinite(part).all():
            raise UserError("its features are NaN or infinite; the samples are too large")
        if done + len(part) > len(feats):  # grown in place: of hours, a second copy would take gigabytes
            feats.resize((done + len(part) + done // 8, config.num_bins), refcheck=False)
        feats[done:done + len(part)] = part
        done += len(part)
    if not done:
        raise UserError(f"the audio is shorter than a frame of {config.frame_length_ms:g} ms")
    feats.resize((done, config.num_bins), refcheck=False)
    return feats


def stream_feats(blocks: Iterable[np.ndarray], config: Features) -> Iterator[np.ndarray]:
    """Features of audio that comes in blocks, as `compute_feats` takes them: float32 (frames, num_bins) each.

    Together they are what `compute_feats` makes of the whole, bit by bit, where there is no `level_db`.
    """
    return PARTS[config.type](blocks, config)


def check_config(config: Features, where: str) -> None:
    """Raise UserError, naming `where`, for options that kaldi-native-fbank refuses (frequencies, too many bins)."""
    try:
        compute_feats(np.zeros(frame_length(config), np.float32), config)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
