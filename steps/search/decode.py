"""Stage 5: decodes a set, on one machine or in parts on a cluster."""

import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from steps.common.checksums import SUMS, check_sums, write_sums
from steps.common.errors import UserError
from steps.common.files import read_json, remove_files, write_json, write_lines
from steps.common.parallel import ordered_map, track
from steps.config.load import load_resolved
from steps.config.schema import Features
from steps.corpus.table import read_numbers
from steps.feats.archive import FeatureReader
from steps.search.alignment import Voice, ctm_lines, set_times, timed_words, voice_of
from steps.search.ctc import Acoustic, align, greedy_in_parts, without_sure_blanks
from steps.search.graph import GRAPH_AGAIN, LM, Best, Graph, GraphSearch
from steps.search.prefix import SyllableLm, prefix_search
from steps.text.syllables import tokens_hash

METHODS = ("greedy", "prefix", "wfst")
FILES = ("decode.json", "ctm", "pinyin")  # decode.json comes last and goes first
OF_WORDS = ("ctm_words", "text")  # if the search finds words
TUNE_AGAIN = "run ./path.sh doit tune:{}"
TUNING = Path("decode/tuning.json")  # in an experiment's directory
WEIGHTS = {"prefix": ("weight", "insertion"), "wfst": ("scale", "blank_penalty")}  # that dev chooses
LONG_S = 60.0  # of an utterance, from which on the network runs in windows: an hour would take gigabytes
Search = Callable[[Iterable[np.ndarray]], Best]  # of an utterance's log-probabilities, float (frames, tokens), in parts


def make_search(folder: Path, method: str, tokens: list[str], weights: Mapping[str, float]) -> Search:
    """A search from log-probabilities to syllables and, by wfst, words. Greedy holds one part in memory at a time.

    Args:
        folder: what `steps.make_graph` wrote; greedy needs none.
        weights: as the method's grid in `steps.tune` names them.
    """
    if method == "greedy":
        return best_path
    _check_tokens(folder, tokens)
    if method == "wfst":
        graph_search = GraphSearch(Graph.read(folder), tokens, **weights)
        return lambda parts: graph_search(np.concatenate(list(parts)))
    lm = SyllableLm(folder / "syllables.arpa", tokens, weights["weight"], weights["insertion"])

    def search(parts: Iterable[np.ndarray]) -> Best:
        log_probs = np.concatenate(list(parts))
        likeliest = prefix_search(log_probs[without_sure_blanks(log_probs)], lm)[0].tokens
        return Best(align(log_probs, list(likeliest)) or [] if likeliest else [], [])

    return search


def best_path(parts: Iterable[np.ndarray]) -> Best:
    """The search of greedy decoding."""
    return Best(greedy_in_parts(parts), [])


def _check_tokens(folder: Path, tokens: list[str]) -> None:
    """Raise UserError if a graph was made for the tokens of another network; earlier versions did not note them."""
    path = folder / LM
    check_sums(folder, GRAPH_AGAIN, [LM])
    made_for = read_json(path, "", GRAPH_AGAIN).get("tokens_sha256") if path.exists() else None
    if made_for not in (None, tokens_hash(tokens)):
        raise UserError(f"{path}: made for a network with other tokens than tokens.txt has; {GRAPH_AGAIN}")


def chosen_weights(exp_dir: Path, method: str, set_name: str = "") -> dict[str, float]:
    """What dev chose for a method; none for greedy. For a set that names its corpus, as aishell_sample/test does, what
    that corpus' part of dev chose, if it has one. Raises UserError if dev has not been asked."""
    if method == "greedy":
        return {}
    path, again = exp_dir / TUNING, TUNE_AGAIN.format(exp_dir.name)
    check_sums(path.parent, again, [path.name] if path.exists() else [])
    try:
        found = read_json(path, "", again)[method] if path.exists() else {}
        best = found.get("by_corpus", {}).get(set_name.rpartition("/")[0], found.get("best"))
        weights = {key: float(best[key]) for key in WEIGHTS[method]}
    except (AttributeError, KeyError, TypeError, ValueError):
        weights = {}
    if not weights or not all(map(math.isfinite, weights.values())):
        raise UserError(f"{path}: {method} has not been tuned; name it in decode.methods of conf/{exp_dir.name}.yaml "
                        f"and {again}")
    return weights


class Decoded(NamedTuple):
    """A decoded set."""

    found: dict[str, Best]  # by utterance, in C order
    voices: dict[str, Voice]
    frames: int  # feature frames
    seconds: float  # of wall time, reading features included, making the model not
    search_seconds: float  # of them, in the search after the network


class Clocked(Iterator[np.ndarray]):
    """Items that come one by one, and the seconds of wall time that they took to come."""

    def __init__(self, items: Iterable[np.ndarray]):
        self._items = iter(items)
        self.seconds = 0.0

    def __next__(self) -> np.ndarray:
        begin = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self.seconds += time.perf_counter() - begin


def checked(utt: str, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """An utterance's log-probabilities, float (frames, tokens) each, unchanged. Raises UserError if one is NaN."""
    for log_probs in parts:
        if np.isnan(log_probs).any():
            raise UserError(f"utterance {utt}: the network's output is not a number; its training diverged, or the "
                            "features are broken: look at dev_loss in train.csv, and run stage 3 (features) again")
        yield log_probs


def decode_set(model: Acoustic, config: Features, feats: Mapping[str, np.ndarray], search: Search, what: str
               ) -> Decoded:
    """Decode all utterances of `feats` (float32 (frames, bins) each, made as `config` says); `what` is what progress
    calls it.

    Raises UserError for an utterance whose log-probabilities are not numbers.
    """
    frames, searching, voices, long = 0, 0.0, {}, []
    most = LONG_S * 1000 / config.frame_shift_ms

    def utterances() -> Iterator[tuple[str, np.ndarray]]:
        nonlocal frames
        for utt in feats:
            matrix = feats[utt]
            frames += len(matrix)
            voices[utt] = voice_of(matrix, config)
            if len(matrix) > most:
                long.append(utt)
            else:
                yield utt, matrix

    def heard() -> Iterator[tuple[str, Iterable[np.ndarray]]]:
        yield from ((utt, [log_probs]) for utt, log_probs in model.log_probs(utterances()))
        yield from ((utt, model.parts(feats[utt])) for utt in long)

    begin = time.perf_counter()
    found = {}
    for utt, parts in track(heard(), len(feats), what):
        before, parts = time.perf_counter(), Clocked(checked(utt, parts))
        found[utt] = search(parts)
        searching += time.perf_counter() - before - parts.seconds
    if len(found) != len(feats):
        raise RuntimeError(f"{what}: {len(feats)} utterances went into the network, {len(found)} came out")
    return Decoded(dict(sorted(found.items())), voices, frames, time.perf_counter() - begin, searching)


def write_decoded(out_dir: Path, decoded: Decoded, model: Acoustic, config: Features, facts: Mapping[str, Any]) -> None:
    """Write pinyin, ctm and decode.json, which holds `facts`; text and ctm_words, if there are words. An earlier
    result is removed before."""
    emissions = {utt: best.emissions for utt, best in decoded.found.items() if best.emissions}
    times = set_times(model, config, decoded.voices, emissions)[1] if emissions else {}
    remove_files(out_dir, (SUMS, *FILES, *OF_WORDS))
    write_lines(out_dir / "pinyin", (" ".join([utt, *(model.tokens[one.token] for one in best.emissions)])
                                     for utt, best in decoded.found.items()))
    write_lines(out_dir / "ctm", ctm_lines(times))
    if any(best.words for best in decoded.found.values()):
        write_lines(out_dir / "text", (" ".join([utt, *(word for word, _ in best.words)])
                                       for utt, best in decoded.found.items()))
        write_lines(out_dir / "ctm_words", ctm_lines({utt: timed_words(found, decoded.found[utt].words)
                                                      for utt, found in times.items()}))
    write_json(out_dir / "decode.json", facts)
    write_sums(out_dir, (*FILES, *OF_WORDS))


PART = 256  # utterances: some seconds of work


def decode_in_parts(load: Callable[[Path], Acoustic], exp_dir: Path, feature_dir: Path, method: str, set_name: str
                    ) -> Decoded:
    """What `decode_set` makes of the features in `feature_dir`, those of `set_name`, with the parts' seconds added up.
    `load` gives the model of an experiment's directory.

    An utterance's result does not depend on the others of its batch (`steps.model.batches`), so not on the parts.
    """
    frames = read_numbers(feature_dir / "utt2num_frames")
    utts = sorted(frames, key=lambda utt: -frames[utt])  # alike lengths share batches, and the longest come first
    parts = [utts[begin:begin + PART] for begin in range(0, len(utts), PART)]
    decode = functools.partial(_decode_part, load, exp_dir, feature_dir / "feats.scp", method, set_name)
    done = list(track(ordered_map(decode, parts), len(parts), f"decoding {set_name}, in parts"))
    found = {utt: best for one in done for utt, best in one.found.items()}
    voices = {utt: voice for one in done for utt, voice in one.voices.items()}
    return Decoded(dict(sorted(found.items())), voices, sum(one.frames for one in done),
                   sum(one.seconds for one in done), sum(one.search_seconds for one in done))


def _decode_part(load: Callable[[Path], Acoustic], exp_dir: Path, scp: Path, method: str, set_name: str,
                 utts: list[str]) -> Decoded:
    model, feats, search = _at_work(load, exp_dir, scp, method, set_name)
    return decode_set(model, load_resolved(exp_dir).features, {utt: feats[utt] for utt in utts}, search, "decoding")


@functools.cache  # for all parts that a process gets
def _at_work(load: Callable[[Path], Acoustic], exp_dir: Path, scp: Path, method: str, set_name: str
             ) -> tuple[Acoustic, FeatureReader, Search]:
    model = load(exp_dir)
    search = make_search(exp_dir / "graph", method, model.tokens, chosen_weights(exp_dir, method, set_name))
    return model, FeatureReader(scp), search
