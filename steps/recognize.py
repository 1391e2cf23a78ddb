"""Recognize recordings of any length and kind: pinyin, with the time and the confidence of each syllable."""

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from steps.common.errors import UserError, run
from steps.common.files import atomic_open, remove_leftovers

FORMATS = ("txt", "json", "ctm", "srt", "vtt", "TextGrid")  # those of steps.deploy.formats, which is slow to import
METHODS = ("greedy", "prefix", "wfst")
LONG_S = 60.0  # seconds of sound from which on progress is shown
STDIN = Path("-")


def main() -> None:
    args = parse_args()
    paths = recordings(args.files)
    if args.stream and len(paths) > 1:
        raise UserError("--stream is for one recording, such as - for standard input")
    if args.stream and (args.method, args.words, args.format, args.beside) != ("greedy", None, "txt", False):
        raise UserError("--stream prints the syllables of greedy; leave out --method, --words, --format and --beside")
    if args.format in FORMATS[3:] and len(paths) > 1 and not args.beside:
        raise UserError(f"{args.format} is a file for one recording, and these are {len(paths)}; "
                        "give --beside, and each gets its own beside it")
    if args.beside:
        check_beside(paths, args.format, args.overwrite)

    from steps.deploy.recognizer import Recognizer  # slow imports: not for --help or a mistake

    recognizer = Recognizer(args.exp_dir, args.method, args.words)
    failed = 0
    for path in paths:
        try:
            (stream if args.stream else recognize)(recognizer, path, args, len(paths) > 1)
        except UserError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
    if failed and len(paths) > 1:
        print(f"error: {failed} of {len(paths)} recordings could not be recognized", file=sys.stderr)
    sys.exit(int(failed > 0))


def recordings(files: list[Path]) -> list[Path]:
    """The files, those in folders and below by their names' ends.

    Raises UserError for a folder without any, or that cannot be read, and for a link that leads nowhere.
    """
    from steps.corpus.find import walk
    from steps.deploy.sound import SUFFIXES

    found = []
    for path in files:
        if path.is_dir():
            below = map(Path, walk(path))
            inside = sorted(file for file in below if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise UserError(f"{path}: holds no recording: no file whose name ends in {', '.join(SUFFIXES)}")
            found += inside
        else:
            found.append(path)
    return found


def file_argument(text: str) -> Path:
    """A file as an option of argparse. An empty name, as of a shell's variable that is not set, would mean `.`."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name")
    return Path(text)


def beside(path: Path, kind: str) -> Path:
    return path.with_suffix(f".{kind}")


def check_beside(paths: list[Path], kind: str, overwrite: bool) -> None:
    """Raise UserError if a file beside a recording would take another one's place."""
    outs: dict[Path, Path] = {}
    for path in paths:
        out = beside(path, kind)
        if path == STDIN:
            raise UserError("standard input has no place beside it; leave --beside out")
        if out in outs:
            raise UserError(f"{outs[out]} and {path} would both be written to {out}; recognize them one by one")
        if out.exists() and not overwrite:
            raise UserError(f"{out}: there already; remove it, or give --overwrite")
        outs[out] = path
    for folder in {out.parent for out in outs}:
        remove_leftovers(folder, {out.name for out in outs})


def recognize(recognizer, path: Path, args: argparse.Namespace, several: bool) -> None:
    """Recognize a recording and write what was heard. Raises UserError if it is not readable."""
    from steps.deploy.formats import FORMATS, Transcript
    from steps.text.syllables import accented

    sound, samples, rate = open_sound(recognizer, path, args), 0, recognizer.model.features.sample_rate

    def blocks() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in sound.blocks:
            samples += len(block)
            yield block

    phrases = list(named(path, recognizer.phrases(with_progress(blocks(), sound.seconds, rate, path))))
    if sound.check and sound.check.doubt:
        print(f"warning: {path}: {sound.check.doubt}", file=sys.stderr)
    if args.marks:
        phrases = [phrase._replace(syllables=[one._replace(syllable=accented(one.syllable))
                                              for one in phrase.syllables]) for phrase in phrases]
    heard = Transcript(str(path), samples / rate, phrases)
    written = FORMATS[args.format](heard)
    if args.beside:
        with atomic_open(beside(path, args.format)) as file:
            file.write(written)
        print(beside(path, args.format), file=sys.stderr)
    elif several and args.format == "txt":
        print(f"{path}\t{' '.join(written.split())}", flush=True)
    else:
        print(written, end="", flush=True)


def stream(recognizer, path: Path, args: argparse.Namespace, several: bool) -> None:
    """Print the syllables of a recording while it comes; a line ends if a pause has begun."""
    from steps.text.syllables import accented

    at_begin = True
    for syllable in named(path, recognizer.stream(open_sound(recognizer, path, args).blocks)):
        if syllable:
            shown = accented(syllable) if args.marks else syllable
            print(shown if at_begin else f" {shown}", end="", flush=True)
        elif not at_begin:
            print(flush=True)
        at_begin = not syllable
    if not at_begin:
        print(flush=True)


def open_sound(recognizer, path: Path, args: argparse.Namespace):
    """The sound of a file or of standard input."""
    from steps.deploy import sound

    rate = recognizer.model.features.sample_rate
    if path == STDIN:
        return sound.piped_sound(sys.stdin.buffer, args.rate, args.channels, rate, live=args.stream)
    opened = sound.open_sound(path, rate)
    if opened.doubt:
        print(f"warning: {path}: {opened.doubt}", file=sys.stderr)
    return opened


def named(path: Path, items: Iterable) -> Iterator:
    """The items; a UserError on the way names the recording."""
    try:
        yield from items
    except UserError as error:
        raise error if str(error).startswith(str(path)) else UserError(f"{path}: {error}") from None


def with_progress(blocks: Iterator[np.ndarray], seconds: float | None, rate: int, path: Path) -> Iterable[np.ndarray]:
    """The blocks of a recording at `rate` Hz, by the second, with progress if it is long."""
    from steps.common.parallel import track
    from steps.deploy.sound import by_size

    if seconds is None or seconds < LONG_S:
        return blocks
    return track(by_size(blocks, rate), math.ceil(seconds), f"{path}, seconds")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.recognize", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/mini, or an exported one")
    parser.add_argument("files", nargs="+", type=file_argument, metavar="FILE",
                        help="recordings, folders of them, or - for standard input: 16-bit PCM, or a whole file")
    parser.add_argument("--method", choices=METHODS, default="greedy",
                        help="wfst gives hanzi; prefix and wfst need decode.methods and doit tune:<experiment>")
    parser.add_argument("--words", type=Path, help="wfst with these words alone: lines of a word, and if you like its "
                        "pinyin and its frequency in a million")
    parser.add_argument("--format", choices=FORMATS, default="txt", help="of the output (txt)")
    parser.add_argument("--beside", action="store_true", help="write FILE's result beside it, not to stdout")
    parser.add_argument("--overwrite", action="store_true", help="with --beside: also if there is a file")
    parser.add_argument("--marks", "--accents", action="store_true", help="nǐ hǎo in place of ni3 hao3")
    parser.add_argument("--stream", action="store_true", help="print syllables while the sound comes in")
    parser.add_argument("--rate", type=int, default=16000, help="of PCM from standard input, in Hz")
    parser.add_argument("--channels", type=int, default=1, help="of PCM from standard input")
    args = parser.parse_args()
    from steps.corpus.audio import MAX_CHANNELS, RATES_HZ  # slow: not for --help

    if not RATES_HZ[0] <= args.rate <= RATES_HZ[1] or not 1 <= args.channels <= MAX_CHANNELS:
        parser.error(f"--rate is {RATES_HZ[0]} to {RATES_HZ[1]}, and --channels 1 to {MAX_CHANNELS}")
    if args.overwrite and not args.beside:
        parser.error("--overwrite belongs to --beside")
    return args


if __name__ == "__main__":
    run(main, errors="strict")
