"""The oneDNN kernels on bfloat16."""

import subprocess
import sys
from pathlib import Path

import pytest

from steps.model.onednn import build


@pytest.mark.skipif(build.available() is None, reason=build.reason() if build.available() is None else "")
@pytest.mark.skipif(not build.has_bfloat16(), reason="the processor has no bfloat16")
def test_bfloat16_cases():
    """In a process of their own: where oneDNN has run before, the limit on its instructions cannot be lifted."""
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/bfloat16_cases.py"],
                          capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout
