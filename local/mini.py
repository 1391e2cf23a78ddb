"""The corpus `mini`: everyday sentences spoken by espeak-ng, in voices that train, dev and test do not share.

The pinyin is the citation form of every word (see `local.mini_sentences`), and espeak-ng is given that pinyin itself,
tone digits and all: what is spoken is what the label says, 一 and 不 in their citation tones too. One thing espeak-ng
does of its own, as speakers do: of third tones in a row all but the last are spoken as second ones.
"""

import io
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from local.espeak import SAMPLE_RATE, Speech, speak
from local.mini_sentences import Sentence, draw_sentences
from steps.common.errors import UserError
from steps.common.files import atomic_open, remove_others
from steps.common.parallel import ordered_map, track
from steps.config.schema import Corpus, Name, Strict, upto
from steps.corpus.write import Utterance

# Variants of espeak-ng's cmn voice that a linear classifier trained on the others understands: at least 9 of 10 single
# syllables with their tones, and three higher women's voices with 87 %. Left out are the whispering, clipping and
# robotic ones. No voice has a near twin in another set: log-mel spectra of the same words are at least 1.5 apart (root
# mean square; adam and klatt6 0.2, steph and steph2 0.7, f2 and f5 1.6): voices of dev and test are really unseen.
VOICES = {
    "train": """
        Alex Annie Diogo Gene Gene2 Henrique Hugo Mike Mr_serious Reed RicishayMax Storm Tweaky adam aunty belinda
        benjamin edward edward2 f1 f4 fast grandma iven3 iven4 john klatt3 klatt4 klatt5 linda m1 m2 m3 m4 m6 m8
        marcelo michel miguel mike2 norbert pablo paul quincy rob robert steph steph2 travis""",
    "dev": "Denis Nguyen f5 m5 m7 sandro victor",
    "test": "Mario Michael boris f2 f3 grandpa gustave max",
}
RATES = 125, 165  # words a minute, of espeak's measure
PITCHES = 42, 72  # of espeak's 0 to 99; 50 is the voice's own
SILENCE_S = 0.08, 0.25  # before and after
LEVELS_DB = -26.0, -18.0  # of the loudest 10 ms, against full scale
NOISE_DB = -62.0  # white, so that silence is not digital zero
OUT_RATE = 16000


class Options(Strict):
    """conf/corpora/mini.yaml, `options`."""

    seed: int = 1
    utterances: dict[Name, upto(10**6)] = {"train": 1000, "dev": 100, "test": 100}


class Plan(NamedTuple):
    """All that an utterance's audio depends on, and the file that it goes to."""

    utt: str
    spk: str
    sentence: Sentence
    speech: Speech
    silence: tuple[float, float]  # seconds before and after
    level_db: float
    noise_seed: int
    wav: Path


def prepare(corpus: Corpus, options: Options, data_dir: Path) -> dict[str, list[Utterance]]:
    """Speak the sets into `data_dir`/wav/<set>/<utt>.wav (16 kHz, mono, 16 bits) and return their utterances.

    The files' bytes depend on `options` alone. Raises UserError for a set without voices or utterances, and if
    espeak-ng is missing or fails.
    """
    sets = {name: plan_set(name, options, Path(data_dir) / "wav" / name) for name in corpus.sets}
    plans = [plan for plans in sets.values() for plan in plans]
    for _ in track(ordered_map(_record, plans), len(plans), "speaking"):
        pass
    for name, plans in sets.items():
        remove_others(Path(data_dir) / "wav" / name, {plan.wav.name for plan in plans})
    return {name: [_utterance(plan) for plan in plans] for name, plans in sets.items()}


def plan_set(name: str, options: Options, wav_dir: Path) -> list[Plan]:
    """The utterances of the set `name`, its voices taking turns. Raises UserError for a set that mini does not have."""
    if name not in VOICES or name not in options.utterances:
        raise UserError(f"corpus mini: set {name!r} has no voices or no number under options.utterances; "
                        f"mini has the sets {', '.join(VOICES)}")
    draw = random.Random(f"mini {options.seed} {name}")
    voices = VOICES[name].split()
    plans = []
    for number, sentence in enumerate(draw_sentences(options.utterances[name], draw)):
        voice = voices[number % len(voices)]
        spk = voice.lower()
        utt = f"{spk}-{number:04d}"
        speech = Speech(_to_say(sentence), "cmn+" + voice.replace("_", " "), draw.randint(*RATES),
                        draw.randint(*PITCHES))
        silence = draw.uniform(*SILENCE_S), draw.uniform(*SILENCE_S)
        plans.append(Plan(utt, spk, sentence, speech, silence, draw.uniform(*LEVELS_DB), draw.getrandbits(32),
                          wav_dir / f"{utt}.wav"))
    return plans


def render(plan: Plan) -> np.ndarray:
    """The utterance's samples, int16 of shape (samples,) at OUT_RATE, a function of `plan` alone."""
    voice = soxr.resample(speak(plan.speech) / 32768.0, SAMPLE_RATE, OUT_RATE)
    frames = voice[: len(voice) // 160 * 160].reshape(-1, 160)
    loudest = np.sqrt((frames**2).mean(axis=1).max())
    voice = voice * (10 ** (plan.level_db / 20) / loudest)
    before, after = (round(seconds * OUT_RATE) for seconds in plan.silence)
    samples = np.pad(voice, (before, after))
    samples += 10 ** (NOISE_DB / 20) * np.random.default_rng(plan.noise_seed).standard_normal(len(samples))
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def _to_say(sentence: Sentence) -> str:
    """The pinyin as espeak-ng reads it, a word at a time: da3kai1 deng1."""
    return " ".join("".join(syllables) for syllables in sentence.syllables)


def _record(plan: Plan) -> None:
    """Write the file, unless it is there already as it would be: its time says whether features must be made again."""
    audio = io.BytesIO()
    soundfile.write(audio, render(plan), OUT_RATE, subtype="PCM_16", format="WAV")
    if not plan.wav.exists() or plan.wav.read_bytes() != audio.getvalue():
        with atomic_open(plan.wav, "wb") as file:
            file.write(audio.getvalue())


def _utterance(plan: Plan) -> Utterance:
    return Utterance(plan.utt, plan.spk, str(plan.wav), plan.sentence.text, plan.sentence.pinyin)
