"""The recipe: its stages (stage1_prepare … stage6_score), its commands, and the rooms of modules that they share.

`python -m steps.prepare`, `steps.lexicon`, `steps.features`, `steps.train`, `steps.decode` and `steps.score`, as the
stages were called before they had numbers, still work: notes and scripts of users have them.

oneDNN 3 picks a reference kernel, about fifty times slower, for MindSpore's plain-layout convolutions on processors
with AVX-512. It reads its limit when it is loaded, so the limit is set here, before any module imports MindSpore, for
users who come without path.sh.
"""

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

NUMBERED = {"prepare": "stage1_prepare", "lexicon": "stage2_lexicon", "features": "stage3_features",
            "train": "stage4_train", "decode": "stage5_decode", "score": "stage6_score"}


STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}
CLOSED = [name for name in STREAMS if getattr(sys, name) is None]  # by the caller, as `>&-` does


def _open_streams() -> None:
    """Put the null device in the place of the standard streams that are closed.

    Else the next files that are opened would get the numbers of these streams, and what is printed would go into them.
    """
    for name in CLOSED:
        number = list(STREAMS).index(name)
        handle = os.open(os.devnull, os.O_RDWR)
        os.dup2(handle, number)
        os.set_inheritable(number, True)  # for programs that are started
        if handle != number:
            os.close(handle)
        setattr(sys, name, os.fdopen(number, STREAMS[name], encoding="utf-8", errors="surrogateescape", closefd=False))


_open_streams()


class _OldNames:
    """Finds a stage's script by its old name."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> ModuleSpec | None:
        package, _, script = name.rpartition(".")
        if package != "steps" or script not in NUMBERED:
            return None
        return spec_from_file_location(name, Path(__file__).with_name(f"{NUMBERED[script]}.py"))


sys.meta_path.append(_OldNames)


def _has_avx512() -> bool:
    try:
        with open("/proc/cpuinfo") as lines:  # of the first processor: reading on takes long if there are many
            return "avx512f" in next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False


if _has_avx512():
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
