"""From sound of any length to syllables, in bounded memory.

The network runs over windows that overlap by what an output frame sees, so that its output is that of the whole. The
output is cut into phrases where the network emits nothing for a while, and each phrase is searched by itself.
"""

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steps.config.load import load_resolved
from steps.config.schema import Pinyin
from steps.deploy.model import NOT_MEASURED, Calibration, Model, load_model
from steps.feats.compute import compute_feats, frame_length, frame_shift, num_frames, stream_feats
from steps.search.alignment import Timed, timed, voice_of
from steps.search.ctc import BLANK, Emission, Part, windows
from steps.search.decode import Search, chosen_weights, make_search
from steps.search.lm import OWN_WEIGHTS, own_graph

WINDOW_S = 20.0  # seconds of sound that the network sees at once
CHUNK_S = 30.0  # of an utterance, if features are normalised by the utterance
RECENT_S = 6.0  # of the sound before, by which sound that is recognised at once is normalised
STREAM_S = 0.3  # the same, if syllables are needed at once
PAUSE_S = 0.8  # without a syllable's spike: a phrase ends
LONGEST_S = 30.0  # of a phrase
REACH_S = 0.5  # that a phrase's voice reaches before its first spike and after its last


class Phrase(NamedTuple):
    """The speech between two pauses."""

    begin: float  # seconds
    end: float
    syllables: list[Timed]
    words: tuple[tuple[str, int], ...] = ()  # by wfst: each with the number of its syllables

    @property
    def text(self) -> str:
        """Its hanzi, if the search finds words; else its pinyin."""
        return "".join(word for word, _ in self.words) or " ".join(one.syllable for one in self.syllables)


class Segment(NamedTuple):
    """A phrase's part of the network's input and output."""

    first: int  # its first output frame
    feats: np.ndarray  # float32 (frames, bins), from first × subsampling_factor on
    log_probs: np.ndarray  # float32 (out_frames, tokens)


class Recognizer:
    """A trained experiment that recognises sound.

    Args:
        exp_dir: an experiment's directory, or an exported one.
        method: the search, as in decoding.
        words: a list of the user, for wfst to find nothing but its words.
    """

    def __init__(self, exp_dir: Path, method: str = "greedy", words: Path | None = None):
        self.model = load_model(exp_dir)
        self._search = self._searching(exp_dir, method, words)
        self._place = self.model.facts.get("spike_place", NOT_MEASURED)
        self._calibration = Calibration(**self.model.facts.get("calibration", {}))

    def phrases(self, blocks: Iterable[np.ndarray]) -> Iterator[Phrase]:
        """The phrases of sound, float32 (samples,) at the features' sample rate, full scale ±1, as they end.

        Raises UserError if all of it is shorter than a frame.
        """
        frame_shift_s = self.model.frame_shift_s
        for segment in segments(self._heard(blocks), self.model.subsampling_factor, round(PAUSE_S / frame_shift_s),
                                round(LONGEST_S / frame_shift_s)):
            best = self._search([segment.log_probs])
            if best.emissions:
                syllables = self._timed(segment, best.emissions)
                end = syllables[-1].begin + syllables[-1].duration
                yield Phrase(syllables[0].begin, end, syllables, tuple(best.words))

    def stream(self, blocks: Iterable[np.ndarray]) -> Iterator[str]:
        """The syllables of the best path, each as soon as the network emits it; "" if a pause has begun."""
        parts = recent(self.model, blocks) if by_utterance(self.model) else windows(
            self.model, stream_feats(blocks, self.model.features), STREAM_S)
        pause = round(PAUSE_S / self.model.frame_shift_s)
        last, quiet = BLANK, pause
        for _, log_probs in parts:
            for token in log_probs.argmax(axis=1).tolist():
                if token not in (BLANK, last):
                    yield self.model.tokens[token]
                quiet = quiet + 1 if token == BLANK else 0
                if quiet == pause:
                    yield ""
                last = token

    def _searching(self, exp_dir: Path, method: str, words: Path | None) -> Search:
        tokens = self.model.tokens
        if words is None:
            return make_search(exp_dir / "graph", method, tokens, chosen_weights(exp_dir, method))
        with tempfile.TemporaryDirectory(prefix="yinjie.") as folder:
            config = exp_dir / "config.yaml"
            policy = load_resolved(exp_dir).corpus.pinyin if config.exists() else Pinyin()
            graph = own_graph(words, Path(folder), tokens, policy)
            return make_search(graph, "wfst", tokens, OWN_WEIGHTS)

    def _heard(self, blocks: Iterable[np.ndarray]) -> Iterator[Part]:
        if by_utterance(self.model):
            return chunks(self.model, blocks)
        return windows(self.model, stream_feats(blocks, self.model.features), WINDOW_S)

    def _timed(self, segment: Segment, found: list[Emission]) -> list[Timed]:
        config, factor = self.model.features, self.model.subsampling_factor
        voice, reach = voice_of(segment.feats, config), round(REACH_S * 1000 / config.frame_shift_ms)
        first, last = found[0].first * factor, found[-1].last * factor
        voice = voice._replace(onset=min(max(voice.onset, first - reach), first),
                               offset=min(max(voice.offset, last), last + reach, len(segment.feats) - 1))
        begin = segment.first * self.model.frame_shift_s
        return [one._replace(begin=begin + one.begin, confidence=self._calibration(one.confidence))
                for one in timed(found, voice, self.model.tokens, self._place, factor, config.frame_shift_ms)]


def by_utterance(model: Model) -> bool:
    """Whether level or mean of the whole utterance normalise the features: then no window is like the whole."""
    return model.features.level_db is not None or model.features.cmn_frames > 0


def chunks(model: Model, blocks: Iterable[np.ndarray]) -> Iterator[Part]:
    """As `windows`, for a network that takes whole utterances: sound longer than CHUNK_S is cut where it is quietest,
    and each piece is an utterance."""
    config, rest = model.features, np.empty(0, np.float32)
    hop = frame_shift(config) * model.subsampling_factor  # samples of an output frame, which pieces are multiples of
    longest = int(CHUNK_S * config.sample_rate) // hop
    first = True
    for block in blocks:
        rest = np.concatenate([rest, block])
        while len(rest) > longest * hop:
            energy = np.square(rest[:longest * hop].reshape(longest, hop), dtype=np.float64).sum(axis=1)
            smooth = np.convolve(energy, np.ones(3), "same")[longest // 2:-1]
            cut = longest // 2 + int(smooth.argmin())
            yield _utterance(model, rest[:cut * hop], cut)
            rest, first = rest[cut * hop:], False
    if first or num_frames(len(rest), config):
        yield _utterance(model, rest, None)


def recent(model: Model, blocks: Iterable[np.ndarray]) -> Iterator[Part]:
    """As `chunks`, at once: the last RECENT_S of sound are the utterance. The beginning is recognised with less sound,
    and the level and the mean change as the sound comes."""
    config = model.features
    hop = frame_shift(config) * model.subsampling_factor
    kept = int(RECENT_S * config.sample_rate) // hop
    behind = -(-(model.right_context * frame_shift(config) + frame_length(config)) // hop)
    rest, done = np.empty(0, np.float32), 0
    for block in itertools.chain(blocks, [None]):
        rest = rest if block is None else np.concatenate([rest, block])
        ready = len(rest) // hop - (0 if block is None else behind)
        if ready <= done or (block is not None and (ready - done) * hop < STREAM_S * config.sample_rate):
            continue
        feats, log_probs = _utterance(model, rest, None)
        end = None if block is None else ready
        yield feats[done * model.subsampling_factor:], log_probs[done:end]
        drop = max(0, ready - kept)
        rest, done = rest[drop * hop:], ready - drop


def _utterance(model: Model, samples: np.ndarray, out_frames: int | None) -> Part:
    """An utterance's features and log-probabilities; `out_frames` of them, as many as it has without its edges."""
    feats = compute_feats(samples, model.features)
    log_probs = model.one(feats)
    if out_frames is None:
        return feats, log_probs
    wanted = out_frames * model.subsampling_factor
    return tuple(np.pad(array, ((0, max(0, count - len(array))), (0, 0)), "edge")[:count]
                 for array, count in ((feats, wanted), (log_probs, out_frames)))


def segments(parts: Iterable[Part], factor: int, pause: int, longest: int) -> Iterator[Segment]:
    """Cut the network's input and output into phrases; which they are does not depend on how they come in parts.

    A cut lies in the middle of the first `pause` output frames whose best token is the blank. If a phrase would
    become longer than `longest`, it lies where the blank is likeliest in the phrase's second half. Silence between
    phrases is left out. `factor` is the number of input frames per output frame.
    """
    first, pending = 0, None
    for part in parts:
        feats, log_probs = part if pending is None else map(np.concatenate, zip(pending, part, strict=True))
        while True:
            heard, end = _cut(log_probs, pause, longest)
            if heard:
                yield Segment(first, feats[:end * factor], log_probs[:end])
            first, feats, log_probs = first + end, feats[end * factor:], log_probs[end:]
            if not end:
                break
        pending = feats, log_probs
    if pending is not None and len(pending[1]):
        yield Segment(first, *pending)


def _cut(log_probs: np.ndarray, pause: int, longest: int) -> tuple[bool, int]:
    """Whether a phrase ends, and the output frames that it has; else how many frames of silence can be left out."""
    speech = np.flatnonzero(log_probs.argmax(axis=1) != BLANK)
    quiet_at_first = int(speech[0]) if len(speech) else len(log_probs)
    if quiet_at_first > pause // 2:
        return False, quiet_at_first - pause // 2
    gaps = np.flatnonzero(np.diff(speech, append=len(log_probs)) > pause)
    if len(gaps) and (silent := int(speech[gaps[0]]) + 1) + pause <= longest:
        return True, silent + pause // 2
    if len(log_probs) >= longest:
        return True, longest // 2 + int(log_probs[longest // 2:longest, BLANK].argmax())
    return False, 0
