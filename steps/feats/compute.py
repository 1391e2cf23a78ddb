"""Log spectrogram and Kaldi's fbank of an utterance, and stage 3 over one set: from wav.scp to feats.scp."""

import contextlib
import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import kaldi_native_fbank as knf
import numpy as np
from scipy import fft

from steps.common.checksums import write_sums
from steps.common.errors import UserError
from steps.common.files import write_lines
from steps.common.parallel import ordered_map, track
from steps.config.schema import Copy, Features
from steps.corpus.table import read_numbers, read_table, refuse
from steps.corpus.validate import VALUE_CHECKS
from steps.feats.archive import FILES, accumulate, empty_stats, feature_writer
from steps.feats.audio import level_speech, perturb, stream_audio

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
    would be minus infinity. A higher floor fills the holes that mp3 and other coders cut into a spectrogram. Nothing is
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
    UserError as `stream_feats` does.
    """
    if config.level_db is not None:
        whole = samples if isinstance(samples, np.ndarray) else np.concatenate([*samples, np.zeros(0, np.float32)])
        samples = level_speech(whole, config.sample_rate, config.level_db) if len(whole) else whole
    if isinstance(samples, np.ndarray):
        blocks = (samples[begin:begin + BLOCK] for begin in range(0, len(samples), BLOCK))
    else:
        blocks = samples
    feats, done = np.empty((0, config.num_bins), np.float32), 0
    for part in stream_feats(blocks, config):
        if done + len(part) > len(feats):  # grown in place: of hours, a second copy would take gigabytes
            feats.resize((done + len(part) + done // 8, config.num_bins), refcheck=False)
        feats[done:done + len(part)] = part
        done += len(part)
    feats.resize((done, config.num_bins), refcheck=False)
    return feats


def stream_feats(blocks: Iterable[np.ndarray], config: Features) -> Iterator[np.ndarray]:
    """Features of audio that comes in blocks, as `compute_feats` takes them: float32 (frames, num_bins) each.

    Together they are what `compute_feats` makes of the whole, bit by bit, if there is no `level_db`. Raises UserError
    if there is no frame, and if a feature is NaN or infinite.
    """
    empty = True
    for part in PARTS[config.type](blocks, config):
        if not np.isfinite(part).all():
            raise UserError("its features are NaN or infinite; the samples are too large")
        empty = False
        yield part
    if empty:
        raise UserError(f"the audio is shorter than a frame of {config.frame_length_ms:g} ms")


def check_config(config: Features, where: str) -> None:
    """Raise UserError, naming `where`, for options that kaldi-native-fbank refuses (frequencies, too many bins)."""
    try:
        compute_feats(np.zeros(frame_length(config), np.float32), config)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None


AS_RECORDED = Copy()
CHUNK = 8  # utterances a task: few enough for memory, enough to make the passing of tasks cheap
LONG_S = 600.0  # recordings that are worked on here, one at a time: results on their way would take gigabytes
INVERTED = "the channels are inverted against each other: the loudest one is taken instead of their mean"


class Extracted(NamedTuple):
    """One utterance's features, or why there are none."""

    utt: str
    feats: np.ndarray | None
    error: str = ""
    file_rate: int = 0
    file_channels: int = 0
    doubt: str = ""  # what is odd about its audio


class Extraction(NamedTuple):
    """The outcome of extracting a set."""

    stats: np.ndarray  # CMVN statistics of its frames
    formats: Counter  # of (sample rate, channels)
    skipped: list[str]  # `utt reason`
    doubts: dict[str, list[str]]  # utterances by what is odd about them


def extract_set(data_dir: Path, out_dir: Path, config: Features, jobs: int | None = None, copy: Copy = AS_RECORDED,
                named: Path | None = None) -> Extraction:
    """Write the features of all utterances of data_dir/wav.scp to `out_dir`, the same for any number of `jobs`.

    With `copy` they are those of a changed copy of the set, under the same ids. `named` is the folder that `out_dir`
    will be moved to, if any. After an error what was there before is there still.

    Raises UserError naming utterance and file for audio that cannot be used; with config.skip_bad such utterances are
    left out and listed in out_dir/skipped, and only a set without any usable utterance is an error.
    """
    wavs = read_wav_scp(data_dir / "wav.scp")
    stats, formats, skipped, doubts = empty_stats(config.num_bins), Counter(), [], {}
    everything = _extract_all(wavs, read_seconds(data_dir), config, jobs, copy)
    with feature_writer(out_dir, config.compress, named) as write, contextlib.closing(everything) as results:
        for done in track(results, len(wavs), f"{named or out_dir}"):
            if done.feats is None:
                skipped.append(f"{done.utt} {done.error}")
                continue
            write(done.utt, done.feats)
            accumulate(stats, done.feats)
            formats[done.file_rate, done.file_channels] += 1
            if done.doubt:
                doubts.setdefault(done.doubt, []).append(done.utt)
        if not formats:
            raise UserError(f"{data_dir / 'wav.scp'}: no usable utterance; the first: {skipped[0]}")
    if skipped:
        write_lines(out_dir / "skipped", skipped)
    write_sums(out_dir, [*FILES, "skipped"])
    return Extraction(stats, formats, skipped, doubts)


def _extract_all(wavs: list[tuple[str, str]], seconds: dict[str, float], config: Features, jobs: int | None,
                 copy: Copy) -> Iterator[Extracted]:
    """Features of all utterances, in order."""
    extract = functools.partial(_extract_chunk, config=config, copy=copy)
    for alone, group in itertools.groupby(wavs, lambda pair: seconds.get(pair[0], 0.0) > LONG_S):
        some = list(group)
        size = 1 if alone else CHUNK
        chunks = [some[begin:begin + size] for begin in range(0, len(some), size)]
        yield from itertools.chain.from_iterable(map(extract, chunks) if alone else ordered_map(extract, chunks, jobs))


def _extract_chunk(wavs: list[tuple[str, str]], config: Features, copy: Copy) -> list[Extracted]:
    return [_extract(utt, path, config, copy) for utt, path in wavs]


def _extract(utt: str, path: str, config: Features, copy: Copy) -> Extracted:
    try:
        audio = stream_audio(path, config.sample_rate)
        samples = audio.blocks
        if copy != AS_RECORDED:
            samples = perturb(np.concatenate(list(samples)), config.sample_rate, copy, utt)
        feats = compute_feats(samples, config)
    except UserError as error:
        wrong = str(error) if path in str(error) else f"{path}: {error}"
        if config.skip_bad:
            return Extracted(utt, None, wrong)
        raise UserError(f"utterance {utt}: {wrong}; mend or remove it, or leave such files out "
                        "by `skip_bad: true` in conf/features") from None
    doubt = audio.check.doubt or (INVERTED if audio.inverted else audio.doubt or "")
    return Extracted(utt, feats, "", audio.file_rate, audio.file_channels, doubt)


def read_wav_scp(path: Path) -> list[tuple[str, str]]:
    """(utterance, path) in order. Raises UserError if stage 1 has not written it, and for what is not a path."""
    if not path.exists():
        raise UserError(f"{path}: no such file; run stage 1 (prepare) first")
    wavs = list(read_table(path).items())
    refuse([f"{path}: {utt}: {fault}" for utt, wav in wavs if (fault := VALUE_CHECKS["wav.scp"](wav))])
    return wavs


def read_seconds(data_dir: Path) -> dict[str, float]:
    """Durations by utterance, of data_dir/utt2dur; none if there is no such file."""
    path = data_dir / "utt2dur"
    return read_numbers(path) if path.exists() else {}
