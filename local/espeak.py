"""espeak-ng by ctypes, from the shared library and voices that the package espeakng-loader brings.

espeak-ng keeps state between utterances (flutter, noise, filters), so that the same words sound a little different
the second time. Here every utterance is spoken by a fork of a process in which espeak-ng has not spoken yet: the
samples depend on the arguments alone. The API is speak_lib.h of espeak-ng 1.52.
"""

import ctypes
import functools
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from steps.common.errors import UserError
from steps.common.process import die_with_parent

SAMPLE_RATE = 22050
SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT
DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report an error instead of ending the process
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4  # espeak_PARAMETER
UTF8 = 1  # espeakCHARS_UTF8
POS_CHARACTER = 1  # espeak_POSITION_TYPE
LOUDNESS = 50  # of espeak's 0 to 200: half of its default, at which many voices clip
PITCH_RANGE = 75  # of espeak's 0 to 99: wider than its default of 50, as the tones of Mandarin are
INSTALL = "pip install --force-reinstall espeakng-loader"
LONGEST_PATH = 159  # bytes of the data's path, espeak-ng's N_PATH_HOME without the terminating zero
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Speech(NamedTuple):
    """What to say, and how."""

    text: str
    voice: str  # language+variant: cmn+f2
    rate: int  # words a minute, 80 to 450
    pitch: int  # 0 to 99, 50 is the voice's own


def speak(speech: Speech) -> np.ndarray:
    """Samples, int16 of shape (samples,) at SAMPLE_RATE: the same for the same `speech`, whatever was spoken before.

    Raises UserError if the library, its data or the voice is missing, or espeak-ng fails.
    """
    return np.frombuffer(_in_fork(_synthesize, speech), np.int16)


def phonemes(text: str, voice: str) -> str:
    """espeak-ng's phoneme mnemonics of the first clause of `text`, as `speak` would say it. Raises as `speak` does."""
    return _in_fork(_translate, Speech(text, voice, 0, 0)).decode()


def _synthesize(espeak: ctypes.CDLL, speech: Speech) -> bytes:
    chunks = []

    @CALLBACK
    def hear(samples: Any, count: int, events: Any) -> int:
        if samples and count:
            chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    espeak.espeak_SetSynthCallback(hear)
    _seed(espeak)
    _set_voice(espeak, speech.voice)
    for parameter, value in (RATE, speech.rate), (VOLUME, LOUDNESS), (PITCH, speech.pitch), (RANGE, PITCH_RANGE):
        espeak.espeak_SetParameter(parameter, value, 0)
    text = speech.text.encode() + b"\0"
    status = espeak.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, POS_CHARACTER, 0, UTF8, None, None)
    espeak.espeak_Synchronize()
    samples = b"".join(chunks)
    if status or not any(samples):
        raise UserError(f"espeak-ng said nothing for {speech} (status {status})")
    return samples


def _translate(espeak: ctypes.CDLL, speech: Speech) -> bytes:
    _set_voice(espeak, speech.voice)
    espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
    rest = ctypes.c_char_p(speech.text.encode())
    return espeak.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, 0)


def _set_voice(espeak: ctypes.CDLL, voice: str) -> None:
    variant = voice.partition("+")[2]  # espeak-ng takes one that it does not know, and ignores it
    known = not variant or (_data_path() / "voices" / "!v" / variant).is_file()
    if not known or espeak.espeak_SetVoiceByName(voice.encode()):
        raise UserError(f"espeak-ng has no voice {voice!r}; name one that it has, or reinstall espeakng-loader")


def _seed(espeak: ctypes.CDLL) -> None:
    """Breath is noise from espeak-ng's generator, which it seeds by the clock; Klatt voices use the C library's."""
    espeak.espeak_ng_SetRandSeed(ctypes.c_long(1))
    ctypes.CDLL(None).srand(1)


def _in_fork(function: Callable[[ctypes.CDLL, Speech], bytes], speech: Speech) -> bytes:
    espeak = _library()
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_answer, args=(function, espeak, speech, sender, os.getpid()))
    child.start()
    sender.close()
    try:
        good, answer = receiver.recv()
    except EOFError:
        child.join()
        raise UserError(f"espeak-ng died speaking {speech} (exit status {child.exitcode})") from None
    child.join()
    if not good:
        raise UserError(answer)
    return answer


def _answer(function: Callable[[ctypes.CDLL, Speech], bytes], espeak: ctypes.CDLL, speech: Speech, sender: Any,
            parent: int) -> None:
    die_with_parent()
    if os.getppid() != parent:  # it had ended before that
        os._exit(1)
    try:
        answer = True, function(espeak, speech)
    except UserError as error:
        answer = False, str(error)
    sender.send(answer)


@functools.lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """espeak-ng, loaded and initialised, that must not speak in this process."""
    data = _data_path()
    try:
        espeak = ctypes.CDLL(_loader().get_library_path())
    except OSError as error:
        raise UserError(f"espeak-ng cannot be loaded ({error}): {INSTALL}") from None
    rate = espeak.espeak_Initialize(SYNCHRONOUS, 0, str(data).encode(), DONT_EXIT)
    if rate != SAMPLE_RATE:
        too_long = len(str(data).encode()) > LONGEST_PATH
        raise UserError(f"espeak-ng does not start with its data in {data} (status {rate}): " + (
            f"move the environment, it takes paths of at most {LONGEST_PATH} bytes" if too_long else INSTALL))
    _set_voice(espeak, "cmn")  # what all its variants need is read once here, not in every fork
    return espeak


def _data_path() -> Path:
    """espeak-ng's dictionaries and voices."""
    try:
        return Path(_loader().get_data_path())
    except RuntimeError as error:
        raise UserError(f"espeak-ng has no data ({error}): {INSTALL}") from None


def _loader() -> ModuleType:
    try:
        import espeakng_loader
    except ImportError as error:
        raise UserError(f"the corpus mini is spoken by espeak-ng ({error}): {INSTALL}") from None
    return espeakng_loader
