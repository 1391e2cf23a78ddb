"""README's outputs: what its commands behind `$` print. `python -m tests.readme` pastes them, from this clone's mini.

tests/test_recipe.py holds them against a smaller mini, whose network hears other syllables.
"""

import re
import subprocess
import textwrap
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
SHOWN = re.compile(r"^    \$ (.+)\n((?:    (?!\$ ).*\n)*)", re.MULTILINE)
VARIABLE = ((r"\t.*", "\t"), (r"[\w/-]+\.wav", "a.wav"), (r"[a-z]+[1-5]\b", "ma1"), (r"(?<!\w)\d+(\.\d+)?", "0"))


def shown(readme: str) -> list[tuple[str, str]]:
    """The commands behind `$`, each with its output."""
    return [(found[1], textwrap.dedent(found[2])) for found in SHOWN.finditer(readme)]


def printed(command: str, folder: Path) -> str:
    """What a command prints in a project whose environment is there."""
    return subprocess.run(["bash", "-euo", "pipefail", "-c", command.replace("./path.sh ", "")], cwd=folder, text=True,
                          check=True, stdout=subprocess.PIPE).stdout


def forms(output: str) -> set[str]:
    """The lines of an output without what depends on the network and on the recording."""
    for pattern, stand_in in VARIABLE:
        output = re.sub(pattern, stand_in, output)
    return set(output.splitlines())


def main() -> None:
    """Paste the outputs of this clone's mini."""
    readme = README.read_text(encoding="utf-8")
    pasted = SHOWN.sub(lambda found: f"    $ {found[1]}\n" + textwrap.indent(printed(found[1], README.parent), "    "),
                       readme)
    README.write_text(pasted, encoding="utf-8")
    print(f"{README}: {len(shown(pasted))} outputs")


if __name__ == "__main__":
    main()
