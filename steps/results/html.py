"""The parts of a self-contained HTML page: head and style, tables, figures."""

from collections.abc import Iterable, Sequence
from html import escape

CSS = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 62rem; color: #1f2328; background: #fff;
       font: 16px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1.5rem 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: .5rem; border-top: 1px solid #d0d7de; }
h3 { font-size: 1rem; margin: 1.5rem 0 .2rem; }
p { margin: .4rem 0; max-width: 45rem; }
.quiet { color: #59636e; font-size: .9rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
.figures figure { flex: 1 1 18rem; max-width: 26rem; }
figure { margin: .5rem 0; }
.figures svg { width: 100%; height: auto; }
.scroll { overflow-x: auto; }
.scroll svg { display: block; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid #8b949e; }
td { border-bottom: 1px solid #eaeef2; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.sides { display: flex; flex-wrap: wrap; gap: 2.5rem; }
.numbers { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1rem 0; }
.numbers div { font-size: .85rem; color: #59636e; }
.numbers b { display: block; font-size: 1.8rem; line-height: 1.2; color: #1f2328; font-weight: 600; }
.pairs { display: flex; flex-wrap: wrap; gap: .3rem .55rem; margin: .4rem 0; }
.pairs span { display: grid; justify-items: center; font-size: .9rem; line-height: 1.35; }
.pairs .S, .pairs .D { color: #c62828; } .pairs .I { color: #8e24aa; }
.pairs .C i { color: #8b949e; } .pairs i { font-style: normal; }
details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; }
pre { font-size: .8rem; line-height: 1.4; background: #f6f8fa; padding: .8rem; overflow-x: auto; }
""".strip()


def page(title: str, body: Iterable[str]) -> str:
    """A whole document. `title` is plain text, `body` HTML."""
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">', f"<title>{escape(title)}</title>",
        f"<style>\n{CSS}\n</style>", "</head>", "<body>", *body, "</body>", "</html>", ""])


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain texts and numbers that scrolls sideways where the screen is narrow."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def shaded_table(corner: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A square of counts, each cell as dark as its share of its row."""
    rows = []
    for name, row in zip(names, counts, strict=True):
        whole = max(1, sum(row))
        cells = "".join(f'<td style="background: rgb(11 92 173 / {0.5 * count / whole:.3f})" '
                        f'title="{100 * count / whole:.1f} % of {sum(row)}">{count or ""}</td>' for count in row)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in [corner, *names])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def details(summary: str, text: str) -> str:
    """Preformatted text behind a line to click on."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"
