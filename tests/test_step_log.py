"""A stage's output: on to doit's stdout, line by line, and into its log."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
CALL = """
import sys
from steps.tasks.step import run_child
with open(sys.argv[1], "wb", buffering=0) as log:
    status = run_child([sys.executable, "-c", sys.argv[2]], log)
sys.exit(status)
"""


def call(log, code, **options):
    return subprocess.run([sys.executable, "-c", CALL, log, code], cwd=ROOT, **options)


def test_both_streams_go_on_in_order_and_into_the_log(tmp_path):
    code = """
import sys
print(sys.stdout.isatty(), flush=True)
print("an error", file=sys.stderr, flush=True)
sys.stdout.write("拼音 without newline")
sys.exit(3)
"""
    done = call(tmp_path / "log", code, capture_output=True)
    assert done.returncode == 3 and done.stderr == b""
    assert done.stdout.decode() == (tmp_path / "log").read_text() == "False\nan error\n拼音 without newline"


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
    call(tmp_path / "log", code, check=True, stdout=subprocess.DEVNULL)
    assert time.monotonic() - begin < 40
    assert "done" in (tmp_path / "log").read_text()


def test_a_crash_leaves_its_words_in_the_log(tmp_path):
    code = "import os, sys; sys.stderr.write('about to crash'); sys.stderr.flush(); os.abort()"
    assert call(tmp_path / "log", code, capture_output=True).returncode == 134
    assert "about to crash" in (tmp_path / "log").read_text()
