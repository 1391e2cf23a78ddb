"""A stage that is killed at a file operation: run again, it gives what it would have given, and leaves nothing behind.

tests/faults/campaign.py does the same at every operation of every stage.
"""

import pytest
from chain import STAGES, kill_and_rerun, make_project, operations, run_stage

SHARES = 0.1, 0.6, 0.95  # of a stage's file operations
KILLED = [(stage, share, number) for stage in ("prepare", "lexicon", "features", "train")
          for share, number in zip(SHARES, ("SIGKILL", "SIGTERM", "SIGINT"), strict=True)][:-1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A project whose stages 1 to 4 are done, and the number of their file operations."""
    root = tmp_path_factory.mktemp("chain") / "whole"
    make_project(root)
    return root, {stage: operations(run_stage(root, stage)) for stage in list(STAGES)[:4]}


@pytest.mark.parametrize(("stage", "share", "number"), KILLED)
def test_killed_and_run_again(whole, stage, share, number):
    root, counts = whole
    end = max(1, round(share * counts[stage]))
    assert kill_and_rerun(root, root.with_name(f"{stage}-{end}"), stage, end, number) == []
