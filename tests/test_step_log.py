"""A stage's output: on to where doit's goes, to a terminal as a terminal's, and into a log as lines."""

import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
CALL = """
import sys
from steps.tasks.step import run_child
from steps.tasks.tee import open_log
from pathlib import Path
with open_log(Path(sys.argv[1]), "a command", True) as log:
    status = run_child([sys.executable, "-c", sys.argv[2]], log)
sys.exit(status)
"""
BAR = r"""
import sys, time
print(sys.stdout.isatty(), sys.stderr.isatty(), flush=True)
for number in range(2000):
    sys.stderr.write(f"\r\x1b[2K\x1b[32mworking {number}\x1b[0m")
sys.stderr.write("\n")
print("the end", file=sys.stderr, flush=True)
sys.stdout.write("拼音 without newline")
sys.exit(3)
"""


def test_pipes(tmp_path):
    done = subprocess.run([sys.executable, "-c", CALL, tmp_path / "log", BAR], cwd=ROOT, capture_output=True)
    assert done.returncode == 3
    assert done.stdout.decode() == "False False\n拼音 without newline"
    assert done.stderr.startswith(b"\r\x1b[2K\x1b[32mworking 0")
    assert done.stderr.endswith(b"working 1999\x1b[0m\nthe end\n")
    first, *lines = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("# 20") and first.endswith(" a command")
    assert sorted(lines) == sorted(["False False", "working 1999", "the end", "拼音 without newline"])
    assert lines.index("working 1999") < lines.index("the end")


def test_a_terminal(tmp_path):
    ours, theirs = pty.openpty()
    shown = []
    thread = threading.Thread(target=read_all, args=(ours, shown))
    thread.start()
    done = subprocess.run([sys.executable, "-c", CALL, tmp_path / "log", BAR], cwd=ROOT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    thread.join(timeout=20)
    assert done.returncode == 3
    text = b"".join(shown).decode()
    assert text.startswith("True True\r\n")
    assert "\x1b[32mworking 1999\x1b[0m\r\nthe end\r\n拼音 without newline" in text
    lines = (tmp_path / "log").read_text().splitlines()[1:]
    assert lines == ["True True", "working 1999", "the end", "拼音 without newline"]


def read_all(end, into):
    while True:
        try:
            data = os.read(end, 1 << 16)
        except OSError:
            return
        into.append(data)


def test_what_one_reader_wants_no_more_is_still_logged(tmp_path):
    code = "import sys\nfor number in range(20000): print('line', number)"
    process = subprocess.Popen([sys.executable, "-c", CALL, tmp_path / "log", code], cwd=ROOT, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()  # as `| head -1` does
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "log").read_text().splitlines()[-1] == "line 19999"


def test_a_grandchild_that_lives_on_is_not_waited_for(tmp_path):
    code = "import subprocess; subprocess.Popen(['sleep', '60']); print('done', flush=True)"
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", CALL, tmp_path / "log", code], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    assert time.monotonic() - begin < 40
    assert "done" in (tmp_path / "log").read_text()


def test_a_crash_leaves_its_words_in_the_log(tmp_path):
    code = "import os, sys; sys.stderr.write('about to crash'); sys.stderr.flush(); os.abort()"
    done = subprocess.run([sys.executable, "-c", CALL, tmp_path / "log", code], cwd=ROOT, capture_output=True)
    assert done.returncode == 134
    assert "about to crash" in (tmp_path / "log").read_text()
