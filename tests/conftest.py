"""Settings of all tests."""

import os

from hypothesis import settings

settings.register_profile("yinjie", deadline=None)  # a busy machine is no failure
settings.load_profile("yinjie")

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
