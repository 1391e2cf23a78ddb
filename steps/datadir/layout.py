"""The layout that several corpora share: recordings in a folder a set, and one transcript of them all."""

from pathlib import Path

from steps.datadir.find import find_audio
from steps.datadir.transcript import PairOptions, half_width, pair, read_transcript
from steps.datadir.utterance import Utterance


def read_sets(root: Path, audio: str, transcript: str, speaker: slice, options: PairOptions
              ) -> dict[str, list[Utterance]]:
    """Utterances by set, the text in half width: `<audio>/<set>/…/<utt>.wav`, and `<utt> <text>` lines in `transcript`.

    Args:
        root: what `audio` and `transcript` lie below.
        speaker: the part of an utterance's id that is its speaker's.
    """
    texts, wavs = read_transcript(root / transcript), find_audio(root / audio)
    sets: dict[str, list[Utterance]] = {}
    for utt in pair(wavs, texts, root, options.skip):
        name = Path(wavs[utt]).relative_to(root / audio).parts[0]
        sets.setdefault(name, []).append(Utterance(utt, utt[speaker], wavs[utt], half_width(texts[utt])))
    return sets
