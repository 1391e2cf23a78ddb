"""Judge how a text was read aloud: which syllables were read wrong, and whether by initial, final or tone.

Prints a line for each recording: JSON with the fields of Azure's pronunciation assessment, or, with --format txt, the
file, the score of the whole from 0 to 100, and what was read wrong.
"""

import argparse
import json
import sys
from pathlib import Path

from steps.common.errors import UserError, run
from steps.common.files import atomic_open, remove_leftovers, utf8_lines
from steps.common.parallel import track
from steps.deploy.assess import ReadingAloud, reading_aloud


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.pronounce", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/hsk")
    parser.add_argument("files", nargs="*", type=Path, help="recordings of --text")
    parser.add_argument("--text", help="what they read: hanzi (你好), or pinyin (ni3 hao3, nǐ hǎo)")
    parser.add_argument("--list", type=Path, help="in place of both: a file of `recording<TAB>text` lines")
    parser.add_argument("--format", choices=("json", "txt"), default="json", help="of the output (json)")
    parser.add_argument("--html", type=Path, help="also write a page with spectrograms and pitch contours")
    args = parser.parse_intermixed_args()
    if args.list and (args.files or args.text):
        parser.error("give --list, or --text and recordings, not both")
    if args.html and args.html.suffix != ".html":
        raise UserError(f"{args.html}: the page's name must end in .html")
    if not args.list and not (args.files and args.text):
        parser.error("give --text and a recording, or --list")
    wanted = read_list(args.list) if args.list else [(path, args.text) for path in args.files]
    readings = [(path, reading_aloud(text)) for path, text in wanted]
    sys.exit(judge(args.exp_dir, readings, args.html, args.format))


def read_list(path: Path) -> list[tuple[Path, str]]:
    """The lines `recording<TAB>text` of a file; a relative path is relative to the file's folder. Raises UserError."""
    lines = utf8_lines(path, encoding="utf-8-sig", if_not_utf8="; save it as UTF-8")
    wanted = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            recording, tab, text = line.partition("\t")
            if not tab or not text.strip():
                raise UserError(f"{path}:{number}: expected a recording, a tab and its text, found {line!r}")
            wanted.append((path.parent / recording.strip(), text.strip()))
    if not wanted:
        raise UserError(f"{path}: holds no recording; write lines of a recording, a tab and its text")
    return wanted


def judge(exp_dir: Path, readings: list[tuple[Path, ReadingAloud]], html: Path | None, form: str) -> int:
    """Print a line for each recording, and write the page. Returns the exit status: 1 if one failed."""
    from steps.deploy.model import load_model  # slow imports: not for --help or a mistake
    from steps.deploy.pronunciation import Judge, azure, summary

    judge, recorded, failed = Judge(load_model(exp_dir)), [], 0
    for path, reading in track(readings, len(readings), "judging"):
        try:
            found = judge.recording(path, reading)
        except UserError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
            continue
        if form == "json":
            line = json.dumps({"File": str(path), **azure(found.assessment, judge.tokens)}, ensure_ascii=False)
        else:
            line = f"{path}\t{summary(found.assessment, judge.tokens)}"
        print(line, flush=True)
        recorded += [found] if html else []
    if html and recorded:
        from steps.deploy.pronounce_page import page  # slow: pages draw

        remove_leftovers(html.parent, [html.name])
        with atomic_open(html) as file:
            file.write(page(exp_dir.name, recorded, judge.tokens))
        print(html, file=sys.stderr)
    if failed and len(readings) > 1:
        print(f"error: {failed} of {len(readings)} recordings could not be judged", file=sys.stderr)
    return int(failed > 0)


if __name__ == "__main__":
    run(main)
