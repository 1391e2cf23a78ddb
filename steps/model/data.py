"""The data of stage 4: normalised features, and labels as token ids."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from steps.common.checksums import check_sums
from steps.common.errors import UserError
from steps.config.load import Resolved
from steps.config.schema import Features
from steps.corpus.table import read_numbers, read_speakers
from steps.corpus.write import read_pinyin
from steps.feats.archive import FeatureReader, apply_cmvn, having_features
from steps.model.augment import Segment, Splicer, Take, cut
from steps.model.batches import labels_fit
from steps.search.alignment import read_ctm
from steps.text.tones import sounds_otherwise

CACHE_BYTES = 2 << 30  # of features that the workers of a machine keep in memory, all together
TOO_SHORT = "more syllables than the network leaves frames for"
WORDLESS = "no syllables"


class NormalisedFeatures(Mapping):
    """The features of one set with CMVN applied, float32 (frames, bins) by utterance.

    Attributes:
        frames: by utterance.
        cached_bytes: of memory that they will be kept in: all of them, or nothing where that is above `budget`.
    Raises UserError where the files do not fit each other, or the features are of another config than `config`.
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


def dev_pinyin(config: Resolved, feats: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """The syllables of dev's utterances that have features; how many have none is said.

    Raises UserError where none has any.
    """
    path = config.data_dir / "dev" / "pinyin"
    pinyin = read_pinyin(path)
    found = having_features(pinyin, feats, path)
    if len(found) < len(pinyin):
        print(f"left out {len(pinyin) - len(found)} dev utterances: they have no features", file=sys.stderr)
    return found


def training_labels(pinyin: dict[str, list[str]], frames: Mapping[str, int], tokens: list[str],
                    config: Resolved) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Token ids by utterance; and the utterances that cannot be trained on, with the reason for each.

    Utterances without features are those that stage 3 skipped. Raises UserError for a syllable that is no token, and
    where more than one utterance in ten would be left out.
    """
    ids = {token: number for number, token in enumerate(tokens)}
    unknown = Counter(syllable for syllables in pinyin.values() for syllable in syllables if syllable not in ids)
    if unknown:
        raise UserError(f"{config.data_dir}/train/pinyin: {len(unknown)} syllables are not in tokens.txt, such as "
                        f"{unknown.most_common(1)[0][0]!r}; run stage 2 (lexicon) again")
    heard = having_features(pinyin, frames, config.data_dir / "train" / "pinyin")
    labels = {utt: [ids[syllable] for syllable in syllables] for utt, syllables in heard.items()}
    left_out = {utt: TOO_SHORT if ids else WORDLESS for utt, ids in labels.items()
                if not labels_fit(frames[utt], ids, config.experiment.model)}
    if len(left_out) * 10 > len(labels):
        _refuse(config, left_out, len(labels))
    return {utt: ids for utt, ids in labels.items() if utt not in left_out}, left_out


def _refuse(config: Resolved, left_out: dict[str, str], count: int) -> None:
    reason, number = Counter(left_out.values()).most_common(1)[0]
    utt = min(utt for utt in left_out if left_out[utt] == reason)
    remedy = "remove them from the corpus, or add what is spoken to its text" if reason == WORDLESS else \
        "lower the strides and pools in frames (model.blocks), or check that audio and text belong together"
    raise UserError(f"{config.data_dir}/train: {number} of {count} utterances, such as {utt}, have {reason}; {remedy}")


def load_splicer(labels: Mapping[str, list[int]], frames: Mapping[str, int], tokens: list[str],
                 config: Resolved) -> Splicer | None:
    """The splicer of training utterances, which cuts where the alignment `train.ali` says; None if the config has none.

    Says how many are spliced, where not all are. Raises UserError where the alignment is not there, or is of other
    utterances.
    """
    path = config.ali_ctm
    if path is None:
        return None
    check_sums(path.parent, f"align again (doit align:{config.experiment.train.ali})", [path.name])
    shift = config.features.frame_shift_ms / 1000
    takes = {}
    for utt, timed in read_ctm(path).items():
        if utt in labels and [one.syllable for one in timed] == [tokens[token] for token in labels[utt]]:
            pieces = cut(timed, frames[utt], shift)
            if all(begin < end for begin, end in pieces):
                takes[utt] = Take([Segment(utt, begin, end) for begin, end in pieces], labels[utt])
    if len(takes) * 2 < len(labels):
        raise UserError(f"{path}: has {len(takes)} of the {len(labels)} training utterances with the syllables that "
                        f"{config.data_dir}/train/pinyin gives them; align the same corpus (doit align)")
    if len(takes) < len(labels):
        print(f"{path}: {len(takes)} of the {len(labels)} training utterances are spliced; the others are not in it, "
              f"or with other syllables", file=sys.stderr)
    speakers = read_speakers(config.data_dir / "train" / "utt2spk", takes)
    return Splicer(takes, speakers, config.experiment.train.augment.splice,
                   lambda token, following: sounds_otherwise(tokens[token], tokens[following]),
                   config.experiment.train.augment.splice_run)
