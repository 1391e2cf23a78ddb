"""Settings of all tests."""

import os
import shutil
import signal

import pytest
from hypothesis import settings
from stub_project import Project

settings.register_profile("yinjie", deadline=None)  # a busy machine is no failure
settings.load_profile("yinjie")

# In the background of a shell it is ignored, and so it would be by the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # pytest's processes share the processors; set before MindSpore is imported

# They take the most time. pytest's processes begin with them, so that both end at about the same time: each file stays
# in one process.
LONGEST = ("test_recipe", "test_workers", "test_training", "test_onednn", "test_cluster", "test_diagnose_network",
           "test_onednn_bfloat16", "test_big_corpora")


def pytest_collection_modifyitems(items):
    """Put the longest files first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture
def fresh(tmp_path):
    """A project of stubs in which nothing has run yet."""
    project = Project(tmp_path / "project")
    project.make()
    return project


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory):
    """Of the project that `finished` copies."""
    project = Project(tmp_path_factory.mktemp("finished") / "project")
    project.make()
    project.doit()
    return project.folder


@pytest.fixture
def finished(finished_folder, tmp_path):
    """A project of stubs in which mini has run through."""
    shutil.copytree(finished_folder, tmp_path / "project")
    project = Project(tmp_path / "project")
    project.log_lines()
    return project
