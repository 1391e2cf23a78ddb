"""Experiments side by side: errors, what differs in their configs, and what changed from the first to the others.

Shows tables, and writes them as a page, as Markdown and as JSON: exp/compare.{html,md,json}, or for chosen experiments
exp/compare_<name>_<name>.{html,md,json}.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from steps.common.errors import UserError, run
from steps.common.files import atomic_open, remove_leftovers
from steps.report.compare_page import compare_page
from steps.report.paired import Comparison, as_json, compare
from steps.report.rows import EXP, SORT_KEYS, find_runs, is_one, open_run
from steps.report.tables import as_markdown, make_console, publish, show, tables


def main() -> None:
    args = parse_args()
    if args.html and args.html.suffix != ".html":
        raise UserError(f"{args.html}: the page's name must end in .html")
    paths = find_runs(args.experiments)
    named = bool(args.experiments) and is_one(args.experiments[0])
    found = compare([open_run(path) for path in paths], args.sort, named)
    if args.json:
        print(json.dumps(as_json(found), ensure_ascii=False, indent=2))
        return
    if args.md:
        print("\n".join(markdown(found)))
        return
    show(found, make_console())
    page = args.html or page_path(args.experiments)
    remove_leftovers(page.parent, [page.with_suffix(suffix).name for suffix in (".md", ".json", ".html")])
    for path, text in ((page.with_suffix(".md"), "\n".join([*markdown(found), ""])),
                       (page.with_suffix(".json"), json.dumps(as_json(found), ensure_ascii=False, indent=2) + "\n"),
                       (page, compare_page(found))):
        with atomic_open(path) as file:
            file.write(text)
    print(f"{page}: the same with curves and what changed", file=sys.stderr)
    if args.publish:
        print("".join(f"{line}\n" for line in publish(found)), end="", file=sys.stderr)


def markdown(found: Comparison) -> list[str]:
    """The lines of a Markdown document."""
    lines = []
    for table in tables(found):
        lines += [f"### {table.title}", "", *as_markdown(table), ""]
    return [*lines, *(f"- {note}" for note in found.notes),
            *(f"- left out: {one.path}: {one.problem}" for one in found.left_out)]


def page_path(words: Sequence[str]) -> Path:
    """Where the page goes: exp/compare.html is that of all experiments, exp/compare_a_b.html that of a and b."""
    names = [re.sub(r"[^\w@.,+-]", "_", Path(word).absolute().name) for word in words]
    if len(names) > 2:
        names = [names[0], "and", str(len(names) - 1), "more"]
    return EXP / f"{'_'.join(['compare', *names])}.html"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m steps.compare", description=__doc__)
    parser.add_argument("experiments", nargs="*", help="directories, names, sweeps or patterns such as 'mini*' (all of "
                        "exp/); the first is what the others are compared with, unless it is a sweep or pattern: then, "
                        "the best on dev is")
    parser.add_argument("--sort", choices=list(SORT_KEYS), help="order of the rows, within a corpus")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, and nothing else")
    parser.add_argument("--md", action="store_true", help="print the tables as Markdown, and nothing else")
    parser.add_argument("--html", type=Path, help="where to write the page")
    parser.add_argument("--publish", action="store_true",
                        help="for maintainers: write the tables of conf/RESULTS.md and README.md, too")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
