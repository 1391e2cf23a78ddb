"""The network, CTC, batches, training and checkpoints: all that imports MindSpore.

oneDNN 3 picks a reference kernel, some fifty times slower, for MindSpore's plain-layout convolutions on processors
with AVX-512. It reads its limit when it is loaded, so it is set here, before any module of this room imports
MindSpore, for users who come without path.sh.
"""

import os
from pathlib import Path


def _has_avx512() -> bool:
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


if _has_avx512():
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
