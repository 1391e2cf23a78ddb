"""The recipe: its stages (stage1_prepare … stage6_score), its commands, and the rooms of modules that they share.

`python -m steps.prepare`, `steps.lexicon`, `steps.features`, `steps.train`, `steps.decode` and `steps.score`, as the
stages were called before they had numbers, still work: notes and scripts of users have them.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

NUMBERED = {"prepare": "stage1_prepare", "lexicon": "stage2_lexicon", "features": "stage3_features",
            "train": "stage4_train", "decode": "stage5_decode", "score": "stage6_score"}


class _OldNames:
    """Finds a stage's script by its old name."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> ModuleSpec | None:
        package, _, script = name.rpartition(".")
        if package != "steps" or script not in NUMBERED:
            return None
        return spec_from_file_location(name, Path(__file__).with_name(f"{NUMBERED[script]}.py"))


sys.meta_path.append(_OldNames)
