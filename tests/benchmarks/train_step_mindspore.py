"""Training steps of a case of train_step.py here: `Model.train` over augmented batches, with what stage 4 logs.

    python -m tests.benchmarks.train_step_mindspore CASE.json PRECISION STEPS

PRECISION: fp32 or bf16. Prints, in JSON, the version, seconds and processor seconds of each step, and those that a
batch takes the input pipeline alone.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import dataset

from steps.config.schema import Augment, Experiment
from steps.model.batches import Batch, TrainingBatches
from steps.model.callbacks import StepLog, Training
from steps.model.checkpoints import History
from steps.model.layers import CTCObjective, TrainStep, kernels_for, layer_maker, set_device
from steps.model.network import DFCNN
from steps.model.optimizer import make_optimizer
from steps.model.parallel import Workers, check_precision, with_precision
from steps.text.syllables import BLANK, all_syllables

AUGMENT = Augment(freq_warp=(0.95, 1.05), freq_shift=2, level=0.3, time_masks=1, freq_masks=1)  # lengths stay


def make_batches(case: dict, experiment: Experiment, steps: int) -> TrainingBatches:
    """Random utterances of the case's length."""
    rng = np.random.default_rng(1)
    utts = [f"utt{i:06d}" for i in range(case["batch"] * steps)]
    feats = {utt: rng.standard_normal((case["frames"], case["bins"]), np.float32) for utt in utts}
    labels = {utt: rng.integers(1, case["tokens"], case["labels"]).tolist() for utt in utts}
    return TrainingBatches(feats, dict.fromkeys(utts, case["frames"]), labels, experiment.model, experiment.train, 1,
                           case["labels"])


class FirstEpoch:
    """What GeneratorDataset reads again and again."""

    def __init__(self, batches: TrainingBatches):
        self._batches = batches

    def __len__(self) -> int:
        return self._batches.steps_per_epoch

    def __iter__(self):
        return self._batches.epoch(1)


class Clock(ms.Callback):
    """Seconds and processor seconds between the ends of steps."""

    def __init__(self):
        super().__init__()
        self.seconds: list[tuple[float, float]] = []
        self._last = self._now()

    def on_train_step_end(self, run_context):
        """One more step."""
        now = self._now()
        self.seconds.append((now[0] - self._last[0], now[1] - self._last[1]))
        self._last = now

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def run(case: dict, precision: str, steps: int, folder: Path) -> dict:
    """Train for an epoch of so many steps; `folder` is for what that writes."""
    set_device("CPU", folder)
    experiment = Experiment(corpus="none", features="none", model=case["model"],
                            train={"batch_size": case["batch"], "augment": AUGMENT, "precision": precision})
    check_precision(experiment)
    kernels, train = layer_maker(experiment), experiment.train
    batches = make_batches(case, experiment, steps)
    begin = time.perf_counter(), time.process_time()
    for _ in batches.epoch(1):
        pass
    pipeline = (time.perf_counter() - begin[0]) / steps, (time.process_time() - begin[1]) / steps
    network = with_precision(DFCNN(experiment.model, case["bins"], [BLANK, *all_syllables()], kernels), precision)
    step = TrainStep(CTCObjective(network, kernels), make_optimizer(train.optimizer, network, steps, kernels),
                     kernels.clip(train.optimizer.clip_norm))
    data = dataset.GeneratorDataset(FirstEpoch(batches), list(Batch._fields), shuffle=False, num_parallel_workers=1,
                                    python_multiprocessing=False)
    clock = Clock()
    training = Training(folder, train.model_copy(update={"epochs": 1}), steps, network, step.update.optimizer, None,
                        None, History(), Workers())
    ms.Model(step).train(1, data, callbacks=[StepLog(training, {}), clock], dataset_sink_mode=False)
    return {"version": f"MindSpore {ms.__version__}, {kernels_for(experiment)[0]}", "seconds": clock.seconds,
            "pipeline": pipeline}


def main() -> None:
    case, precision, steps = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(case, precision, steps, Path(folder))))


if __name__ == "__main__":
    main()
