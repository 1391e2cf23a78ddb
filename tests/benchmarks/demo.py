"""Whether demo.html hears what stage 5 hears: every recording of a set, opened in headless Chromium.

    ./path.sh python -m tests.benchmarks.demo exp/mini test
"""

import argparse
import tempfile
import time
from pathlib import Path

from steps.common.errors import run
from steps.common.parallel import track
from steps.config.load import load_resolved
from steps.corpus.table import read_table
from steps.text.syllables import accented
from tests.browser import browser


def main() -> None:
    """Open all recordings and count."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.demo", description=__doc__)
    parser.add_argument("exp_dir", type=Path)
    parser.add_argument("set")
    args = parser.parse_args()
    recordings = read_table(load_resolved(args.exp_dir).data_dir / args.set / "wav.scp")
    decoded = read_table(args.exp_dir / "decode" / f"{args.set}_greedy" / "pinyin")
    same, begin = 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as page:
        page.open((args.exp_dir / "export" / "demo.html").resolve().as_uri())
        for utt, recording in track(recordings.items(), len(recordings), "opening recordings"):
            page.evaluate("document.getElementById('result').hidden = true")
            page.choose_file("#file", Path(recording).resolve())
            page.wait_for("!document.getElementById('result').hidden")
            heard = page.evaluate("document.getElementById('said').textContent")
            expected = " ".join(accented(syllable) for syllable in decoded[utt].split())
            same += heard == expected
            if heard != expected:
                print(f"{utt}: the page heard {heard!r}, stage 5 {expected!r}")
    print(f"{args.exp_dir} {args.set}: {same} of {len(recordings)} the same, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    run(main)
