"""A stage that is killed at a file operation: run again, it gives what it would have given, and leaves nothing behind.

`KILLS=100 ./path.sh pytest tests/faults/test_kills.py` kills every stage at so many of its file operations.
"""

import os

import numpy as np
import pytest
from chain import STAGES, kill_and_rerun, make_project, operations

KILLS = int(os.environ.get("KILLS", "0"))
NAMES = list(STAGES) if KILLS else ["prepare", "lexicon", "features", "train"]
SHARES = np.linspace(0, 1, KILLS) if KILLS else (0.1, 0.6, 0.95)  # of a stage's file operations
SIGNALS = "SIGKILL", "SIGTERM", "SIGINT"
KILLED = [(stage, share, SIGNALS[at % 3]) for stage in NAMES for at, share in enumerate(SHARES)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A project whose stages are done, and the number of their file operations."""
    root = tmp_path_factory.mktemp("chain") / "whole"
    make_project(root)
    return root, {stage: operations(root, stage) for stage in NAMES}


@pytest.mark.parametrize(("stage", "share", "number"), KILLED)
def test_killed_and_run_again(whole, stage, share, number):
    root, counts = whole
    end = max(1, round(share * counts[stage]))
    assert kill_and_rerun(root, root.with_name(f"{stage}-{end}"), stage, end, number) == []
