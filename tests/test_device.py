"""Where MindSpore leaves what it writes unasked."""

import os
import subprocess
import sys
from pathlib import Path

FAILS = """
from pathlib import Path
import mindspore as ms
from mindspore import nn
from steps.model.layers import set_device

class Wrong(nn.Cell):
    def construct(self, x):
        return x.no_such_attribute()

set_device("CPU", Path("exp/x/log"))
try:
    Wrong()(ms.Tensor(1.0))
except Exception as error:
    print(type(error))
"""


def test_a_failed_compilation_leaves_nothing_in_the_projects_root(tmp_path):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MS_")}  # other tests set them, too
    done = subprocess.run([sys.executable, "-c", FAILS], cwd=tmp_path, capture_output=True, text=True,
                          env={**clean, "PYTHONPATH": str(Path(__file__).parent.parent)})
    assert "Error" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["exp"]
    assert [path.name for path in tmp_path.rglob("*.ir")] == ["analyze_fail.ir"]


def test_mistakes_are_told_before_mindspore_is_loaded():
    """Which takes seconds: neither --help nor a wrong argument waits for it."""
    scripts = ["stage1_prepare", "stage2_lexicon", "stage3_features", "stage4_train", "stage5_decode", "stage6_score",
               "align", "tune", "export", "make_graph", "make_report", "recognize", "pronounce", "status"]
    code = f"import sys{''.join(f', steps.{name}' for name in scripts)}; sys.exit('mindspore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=True)
