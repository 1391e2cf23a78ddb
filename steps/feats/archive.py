"""Feature archives (ark/scp, Kaldi's format), CMVN statistics, and a set's features as training reads them."""

import contextlib
import os
import struct
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path

import kaldi_native_io as kio
import numpy as np

from steps.common.checksums import AGAIN, SUMS, check_sums
from steps.common.errors import UserError, counted
from steps.common.files import atomic_path, remove_files
from steps.common.yaml import read_yaml
from steps.config.load import Resolved, check_known
from steps.config.schema import Features
from steps.corpus.table import read_numbers, read_table, write_table
from steps.corpus.write import read_pinyin

FILES = "feats.scp", "feats.ark", "utt2num_frames"
OF_NO_MATTER = {"copies", "compress", "skip_bad", "cmn_frames"}  # keys of a config that a set's features do not show
PLAIN = struct.Struct("<2s3sBiBi")  # before the values of a binary float matrix: what it is, its rows and its columns


@contextlib.contextmanager
def feature_writer(folder: Path, compress: bool = False, named: Path | None = None
                   ) -> Iterator[Callable[[str, np.ndarray], None]]:
    """Give `write(utt, feats)`; at the block's end `folder` gets feats.ark, utt2num_frames and, last, feats.scp.

    After an error what was there before is there still. `feats` are float32 (frames, bins), and stored in Kaldi's
    one-byte format for speech features if `compress`. feats.scp names the ark by `named`, the folder that `folder`
    will be moved to, or else by `folder` as it is given: a relative path stays relative.
    """
    frames: dict[str, int] = {}
    with atomic_path(folder / "feats.scp") as scp, atomic_path(folder / "feats.ark") as ark:
        with (_compressed(scp, ark) if compress else _plain(scp, ark)) as write_matrix:

            def write(utt: str, feats: np.ndarray) -> None:
                write_matrix(utt, feats)
                frames[utt] = len(feats)

            yield write
        lines = scp.read_text(encoding="utf-8").replace(f" {ark}:", f" {(named or folder) / 'feats.ark'}:")
        scp.write_text(lines, encoding="utf-8")
        discard(folder)
        write_table(folder / "utt2num_frames", frames)


@contextlib.contextmanager
def _plain(scp: Path, ark: Path) -> Iterator[Callable[[str, np.ndarray], None]]:
    """Kaldi's binary float matrices. kaldi_native_io would copy each: of hours of audio, gigabytes."""
    with open(ark, "wb") as matrices, open(scp, "w", encoding="utf-8", newline="\n") as places:

        def write(utt: str, feats: np.ndarray) -> None:
            matrices.write(f"{utt} ".encode())
            places.write(f"{utt} {ark}:{matrices.tell()}\n")
            matrices.write(PLAIN.pack(b"\0B", b"FM ", 4, feats.shape[0], 4, feats.shape[1]))
            matrices.write(np.ascontiguousarray(feats, "<f4").data)

        yield write


@contextlib.contextmanager
def _compressed(scp: Path, ark: Path) -> Iterator[Callable[[str, np.ndarray], None]]:
    with _disk_errors(ark), kio.CompressedMatrixWriter(f"ark,scp:{ark},{scp}") as writer:

        def write(utt: str, feats: np.ndarray) -> None:
            with _disk_errors(ark):
                writer[utt] = feats, kio.CompressionMethod.kSpeechFeature

        yield write


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """kaldi_native_io does not tell why it cannot write: raise the OSError that Python gets for writing some more."""
    try:
        yield
    except RuntimeError as error:
        with open(path, "ab") as file:
            file.write(bytes(1 << 20))
        raise UserError(f"{path}: cannot be written: {' '.join(str(error).split())[-200:]}") from None


def discard(folder: Path) -> None:
    """Remove what an earlier run left in `folder`, whole or in parts: feats.scp first."""
    remove_files(folder, (SUMS, *FILES, "skipped"))


def move_features(source: Path, folder: Path) -> None:
    """Move all that `extract_set` has written to another folder, in place of what is there: feats.scp last."""
    folder.mkdir(parents=True, exist_ok=True)
    discard(folder)
    for name in ("skipped", *reversed(FILES), SUMS):
        with contextlib.suppress(FileNotFoundError):
            os.replace(source / name, folder / name)


def _read_matrix(where: str) -> np.ndarray:
    """The matrix at <path>:<offset>, float32 (frames, bins). kaldi_native_io takes twice its memory, so that it reads
    compressed ones alone."""
    path, _, offset = where.rpartition(":")
    with open(path, "rb") as file:
        file.seek(int(offset))
        head = file.read(PLAIN.size)
        if head[:5] != b"\0BFM ":
            return kio.FloatMatrix.read(where).numpy()
        *_, frames, _, bins = PLAIN.unpack(head)
        there = os.fstat(file.fileno()).st_size - file.tell()
        if min(frames, bins) < 0 or 4 * frames * bins > there:
            raise ValueError(f"{where}: cut short")
        return np.fromfile(file, "<f4", frames * bins).reshape(frames, bins)


def _check_config(folder: Path, config: Features) -> None:
    """Raise UserError if a set's features were made by another config, as features.yaml beside the set tells."""
    path = folder.parent / "features.yaml"
    if not path.exists():  # not stage 3's
        return
    made, _ = check_known(read_yaml(path), Features, path)
    keys = ("copies",) if folder.name in config.copy_sets else set(Features.model_fields) - OF_NO_MATTER
    other = [key for key in sorted(keys) if getattr(made, key) != getattr(config, key)]
    if other:
        raise UserError(f"{path}: {other[0]} is {getattr(made, other[0])!r} there, but the experiment has "
                        f"{getattr(config, other[0])!r}; set it so in conf/features and run stage 3 (features) again, "
                        "or, if it is to change, run stage 4 (train)")


def having_features(pinyin: Mapping[str, list[str]], utts: Container[str], path: Path) -> dict[str, list[str]]:
    """The part of `pinyin` (syllables by utterance, from `path`) whose utterances are in `utts`, those with features.
    Raises UserError if that is none."""
    found = {utt: syllables for utt, syllables in pinyin.items() if utt in utts}
    if not found:
        raise UserError(f"{path}: none of its utterances has features; run stage 3 (features) again")
    return found


def dev_pinyin(config: Resolved, feats: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """The syllables of dev by utterance, without utterances that have no features, which are counted on stderr.

    Raises UserError if none has any.
    """
    path = config.data_dir / "dev" / "pinyin"
    pinyin = read_pinyin(path)
    found = having_features(pinyin, feats, path)
    if len(found) < len(pinyin):
        print(f"left out {counted(len(pinyin) - len(found), 'dev utterance')} without features", file=sys.stderr)
    return found


class FeatureReader:
    """Random access to the matrices that a feats.scp lists.

    `reader[utt]` is float32 (frames, bins), read again each time. Raises UserError if feats.scp is missing or lacks
    `utt`, if the ark is gone or damaged (at once if it is cut short), and if stage 3 has made the features by another
    config than `config`.
    """

    def __init__(self, scp: Path | str, config: Features | None = None):
        self.scp = Path(scp)
        if not self.scp.exists():
            raise UserError(f"{scp}: no such file; run stage 3 (features) first")
        check_sums(self.scp.parent, AGAIN.format("3 (features)"), FILES)
        if config is not None:
            _check_config(self.scp.parent, config)
        self._where = read_table(scp)
        self[next(reversed(self._where))]  # of an ark that was cut short the last is not there

    def __len__(self) -> int:
        return len(self._where)

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __contains__(self, utt: str) -> bool:
        return utt in self._where

    def __getitem__(self, utt: str) -> np.ndarray:
        if utt not in self._where:
            raise UserError(f"{self.scp}: no utterance {utt}")
        try:
            feats = _read_matrix(self._where[utt])
        except (RuntimeError, FileNotFoundError, IsADirectoryError, ValueError, struct.error):  # it may quote the file
            raise UserError(f"{self.scp}: {utt}: {self._where[utt]} is not readable; "
                            "run stage 3 (features) again") from None
        if not np.isfinite(feats).all():
            raise UserError(f"{self.scp}: {utt}: its features are NaN or infinite; run stage 3 (features) again")
        return feats


BLOCK = 1 << 16  # frames at once: an hour of audio would take gigabytes
MIN_STD = 0.1  # a bin that hardly changes in training would otherwise dominate when it does


def empty_stats(bins: int) -> np.ndarray:
    """Statistics of no frame: float64 (2, bins + 1), as Kaldi's: sums and count, then sums of squares and 0."""
    return np.zeros((2, bins + 1))


def accumulate(stats: np.ndarray, feats: np.ndarray) -> None:
    """Add the frames of `feats` (frames, bins) to `stats`, in float64."""
    for begin in range(0, len(feats), BLOCK):
        block = feats[begin:begin + BLOCK].astype(np.float64)
        stats[0, :-1] += block.sum(axis=0)
        stats[1, :-1] += np.square(block).sum(axis=0)
        stats[0, -1] += len(block)


def save_cmvn(path: str | os.PathLike, stats: np.ndarray) -> None:
    """Write statistics, float64 (2, bins + 1), as Kaldi's compute-cmvn-stats does: one binary double matrix."""
    with atomic_path(path) as beside:
        kio.DoubleMatrix(stats).write(str(beside), binary=True)


def load_cmvn(path: str | os.PathLike) -> np.ndarray:
    """Statistics float64 (2, bins + 1). Raises UserError if the file is missing or is not such a matrix."""
    check_sums(Path(path).parent, "run stage 3 (features) again, and what follows", [Path(path).name])
    try:
        stats = kio.DoubleMatrix.read(os.fspath(path)).numpy().copy()
    except (RuntimeError, UnicodeDecodeError):
        raise UserError(f"{path}: no readable Kaldi matrix; run stage 3 (features) again") from None
    if stats.shape[0] != 2 or not stats[0, -1] >= 1:
        raise UserError(f"{path}: not CMVN statistics: {stats.shape[0]} rows; run stage 3 (features) again")
    if not np.isfinite(stats).all() or (stats[1, :-1] * stats[0, -1] < np.square(stats[0, :-1]) * (1 - 1e-6)).any():
        raise UserError(f"{path}: not the statistics of any features; run stage 3 (features) again")
    return stats


def mean_std(stats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each bin, float32 (bins,) both; the deviation at least MIN_STD."""
    count = stats[0, -1]
    mean = stats[0, :-1] / count
    variance = stats[1, :-1] / count - np.square(mean)
    std = np.sqrt(np.maximum(variance, MIN_STD**2))
    return mean.astype(np.float32), std.astype(np.float32)


def apply_cmvn(feats: np.ndarray, mean: np.ndarray, std: np.ndarray, cmn_frames: int = 0) -> np.ndarray:
    """`feats` (frames, bins) with mean 0 and variance 1 over the data that the statistics are of: float32.

    With `cmn_frames` the mean that is taken off is the utterance's own, to which `mean` adds as so many frames would:
    a long utterance loses what its voice and its microphone have of their own, a short word keeps what it says.
    """
    return (feats - cmvn_mean(feats, mean, cmn_frames)) / std


def cmvn_mean(feats: np.ndarray, mean: np.ndarray, cmn_frames: int) -> np.ndarray:
    """The mean that `apply_cmvn` takes off, float32 (bins,)."""
    return (feats.sum(axis=0) + cmn_frames * mean) / (len(feats) + cmn_frames) if cmn_frames else mean


CACHE_BYTES = 2 << 30  # of features that the workers of a machine keep in memory, all together


class NormalisedFeatures(Mapping):
    """The features of one set with CMVN applied, float32 (frames, bins) by utterance.

    Attributes:
        frames: by utterance.
        cached_bytes: of memory that they will be kept in: all of them, or nothing if that is above `budget`.
    Raises UserError if the files do not fit each other, or the features are of another config than `config`.
    """

    def __init__(self, folder: Path, mean: np.ndarray, std: np.ndarray, config: Features, budget: int = CACHE_BYTES):
        self._reader = FeatureReader(folder / "feats.scp", config)
        self._mean, self._std, self._cmn_frames = mean, std, config.cmn_frames
        self.frames = {utt: int(count) for utt, count in read_numbers(folder / "utt2num_frames").items()}
        if self.frames.keys() != set(self._reader):
            raise UserError(f"{folder}/utt2num_frames: has other utterances than feats.scp; run stage 3 (features) "
                            "again")
        size = sum(self.frames.values()) * len(mean) * 4
        self.cached_bytes = size if size <= budget else 0
        self._cache: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._reader)

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader)

    def __contains__(self, utt: str) -> bool:
        return utt in self._reader

    def __getitem__(self, utt: str) -> np.ndarray:
        if utt in self._cache:
            return self._cache[utt]
        feats = apply_cmvn(self._reader[utt], self._mean, self._std, self._cmn_frames).astype(np.float32)
        if self.cached_bytes:
            self._cache[utt] = feats
        return feats
