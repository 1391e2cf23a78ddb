"""Settings of all tests."""

import os

from hypothesis import settings

settings.register_profile("yinjie", deadline=None)  # a busy machine is no failure
settings.load_profile("yinjie")

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # pytest's processes share the processors; set before MindSpore is imported
