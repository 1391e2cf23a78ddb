"""How long a full training of an experiment takes on this machine: a few real steps on features of noise.

    python -m tests.benchmarks.throughput [experiment …] [--steps 3] [--batch-size 2] [--busy] [--publish]

The corpus' number of utterances and how long they are (normal around the mean) decide an epoch's batches; its first few
go through `Model.train` twice, and the second time counts. A step's seconds are then taken in proportion to padded
frames; --batch-size lets them be of smaller batches, where memory is short. The batches are also made apart, as the
training's dataset makes them, from an archive on disk. The dev pass and the making of features come on top: some
percent. With --busy, where other work holds the processors up, the processor seconds that were used, divided by the
processors, stand for the time of an idle machine. --publish puts the table into conf/RESULTS.md.

The column for a V100 is an estimate: the student project's 100 epochs took 12 h 38 min on one (course repository of
MindSpore), and the others are taken in proportion to their multiplications: at least, for narrow layers keep it
waiting for its memory.
"""

import argparse
import itertools
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import dataset

from steps.common.files import atomic_open
from steps.config.load import Resolved, load_experiment
from steps.feats.archive import FeatureReader, apply_cmvn, feature_writer
from steps.model import augment as aug
from steps.model import batches as bk
from steps.model.acoustic import make_network
from steps.model.batches import Batch, TrainingBatches
from steps.model.layers import CTCObjective, TrainStep, kernels_for, layer_maker, set_device
from steps.model.network import conv_size, convolutions
from steps.model.optimizer import make_optimizer
from steps.report.tables import Table, as_markdown
from steps.text.syllables import BLANK, all_syllables

EXPERIMENTS = ["thchs30_dfcnn_1a", "thchs30_dfcnn_1b", "aishell_dfcnn_1a"]
STORED = 150  # utterances on disk, each of which stands for many
FED = 20  # batches made apart
V100_HOURS = 12 + 38 / 60  # of thchs30_dfcnn_1a
RESULTS, BEGIN, END = Path("conf/RESULTS.md"), "<!-- throughput -->", "<!-- /throughput -->"


class Corpus(NamedTuple):
    """What a training set sounds like."""

    utterances: int
    mean_s: float
    deviation_s: float
    longest_s: float
    syllables_per_s: float


CORPORA = {
    "thchs30": Corpus(9500, 9.2, 1.6, 16.3, 3.5),  # 10,000 but for the dev that is carved out
    "aishell": Corpus(120098, 4.5, 1.4, 14.6, 3.2),
}


class Measured(NamedTuple):
    """What came out, of an experiment."""

    name: str
    kernels: str
    weights: int
    shape: tuple[int, ...]  # of the first batch
    batches: int  # an epoch
    epochs: int
    step_s: float  # mean over an epoch
    feed_s: float  # a batch
    operations: float  # multiplications and additions of an epoch, forward and backward

    @property
    def hours(self) -> float:
        return self.step_s * self.batches * self.epochs / 3600


class Repeated(Mapping):
    """Normalised features of many utterances that are few on disk: 017-5 is 017. Read anew each time, as from a corpus
    that does not fit into memory."""

    def __init__(self, folder: Path, bins: int, utts: list[str]):
        self._reader = FeatureReader(folder / "feats.scp")
        self._mean, self._std = np.zeros(bins), np.ones(bins)
        self._utts = utts

    def __len__(self) -> int:
        return len(self._utts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._utts)

    def __getitem__(self, utt: str) -> np.ndarray:
        return apply_cmvn(self._reader[utt.partition("-")[0]], self._mean, self._std).astype(np.float32)


class First:
    """The first batches of an epoch, again and again, for MindSpore's dataset."""

    def __init__(self, batches: TrainingBatches, count: int):
        self._batches, self._count = batches, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        return itertools.islice(self._batches.epoch(1), self._count)


class SecondEpoch(ms.Callback):
    """Seconds of the second epoch, in which nothing is compiled any more."""

    def __init__(self, clock):
        super().__init__()
        self._clock = clock
        self.seconds = 0.0

    def on_train_epoch_begin(self, run_context):
        self._begin = self._clock()

    def on_train_step_end(self, run_context):
        run_context.original_args().net_outputs[0].asnumpy()  # as StepLog does: else it may still run

    def on_train_epoch_end(self, run_context):
        self.seconds = self._clock() - self._begin


def processor_clock() -> float:
    """Seconds that all threads of this process have used, over the processors: an idle machine's clock."""
    return time.process_time() / len(os.sched_getaffinity(0))


def stored_lengths(config: Resolved) -> np.ndarray:
    """Frames of the utterances on disk."""
    corpus = CORPORA[config.experiment.corpus]
    seconds = np.random.default_rng(1).normal(corpus.mean_s, corpus.deviation_s, STORED)
    return np.rint(np.clip(seconds, 1.2, corpus.longest_s) * 1000 / config.features.frame_shift_ms).astype(int)


def utterances(config: Resolved) -> list[str]:
    """All that the corpus' training set has."""
    count = CORPORA[config.experiment.corpus].utterances
    return [f"{number % STORED:03d}-{number // STORED}" for number in range(count)]


def store(config: Resolved, folder: Path) -> Repeated:
    """Write noise as features, and give it back as a corpus."""
    rng, bins = np.random.default_rng(2), config.features.num_bins
    with feature_writer(folder) as write:
        for number, length in enumerate(stored_lengths(config)):
            write(f"{number:03d}", rng.normal(size=(length, bins)).astype(np.float32))
    return Repeated(folder, bins, utterances(config))


def make_batches(config: Resolved, feats: Mapping[str, np.ndarray]) -> tuple[TrainingBatches, int]:
    """The training's batches, and the padded frames of an epoch."""
    corpus, train = CORPORA[config.experiment.corpus], config.experiment.train
    lengths = stored_lengths(config)
    frames = {utt: int(lengths[int(utt[:3])]) for utt in utterances(config)}
    seconds = config.features.frame_shift_ms / 1000
    labels = {utt: [1 + i % 1000 for i in range(int(length * seconds * corpus.syllables_per_s))]
              for utt, length in frames.items()}
    batches = TrainingBatches(feats, frames, labels, config.experiment.model, train, config.experiment.seed,
                              max(map(len, labels.values())))
    rng = np.random.default_rng(3)
    warped = aug.warped_frames(np.array(list(frames.values())), aug.draw_time_factors(train.augment, len(frames), rng))
    plan = bk.plan_epoch(warped, batches.buckets, train.batch_size, train.batch_frames, rng)
    return batches, sum(length * len(positions) for length, positions in plan)


def measure(name: str, steps: int, batch_size: int | None, busy: bool) -> Measured:
    """Make batches, train, and reckon."""
    config = load_experiment(name)
    train = config.experiment.train
    clock = processor_clock if busy else time.monotonic
    tokens = [BLANK, *all_syllables()]
    with tempfile.TemporaryDirectory() as folder:
        set_device(config.experiment.device, Path(folder))
        feats = store(config, Path(folder))
        batches, padded = make_batches(config, feats)
        begin = clock()
        for _ in feed(batches, FED).create_tuple_iterator(num_epochs=1, output_numpy=True):
            pass
        feed_s = (clock() - begin) / FED
        network = make_network(config, tokens)
        kernels = layer_maker(config.experiment)
        optimizer = make_optimizer(train.optimizer, network, batches.steps_per_epoch * train.epochs, kernels)
        timer = SecondEpoch(clock)
        step = TrainStep(CTCObjective(network, kernels), optimizer, kernels.clip(train.optimizer.clip_norm))
        tried, _ = make_batches(resized(config, batch_size or train.batch_size), feats)
        ms.Model(step).train(2, feed(tried, steps), callbacks=[timer], dataset_sink_mode=False)
        shapes = [batch.feats.shape for batch in First(tried, steps)]
    frames = sum(shape[0] * shape[1] for shape in shapes)
    weights = sum(weight.size for weight in network.trainable_params())
    return Measured(name, kernels_for(config.experiment)[0], weights, shapes[0], batches.steps_per_epoch, train.epochs,
                    timer.seconds / frames * padded / batches.steps_per_epoch, feed_s, operations(config, padded))


def resized(config: Resolved, batch_size: int) -> Resolved:
    """The same with other batches."""
    train = config.experiment.train.model_copy(update={"batch_size": batch_size})
    return config.model_copy(update={"experiment": config.experiment.model_copy(update={"train": train})})


def feed(batches: TrainingBatches, count: int) -> dataset.GeneratorDataset:
    """The dataset that stage 4 makes, of a few batches."""
    return dataset.GeneratorDataset(First(batches, count), list(Batch._fields), shuffle=False, num_parallel_workers=1,
                                    python_multiprocessing=False)


def operations(config: Resolved, frames: int) -> float:
    """Multiplications and additions in matrices and convolutions for so many frames, forward and (twice that) backward.
    """
    model, tokens, length = config.experiment.model, 1 + len(all_syllables()), 1600
    total, channels, size = 0, 1, [length, config.features.num_bins]
    for block in model.blocks:
        for number, (stride, kernel) in enumerate(convolutions(block)):
            size = [conv_size(size[axis], stride[axis], kernel[axis], model) for axis in (0, 1)]
            weights = kernel[0] * kernel[1] * channels * block.channels
            if block.residual and number == 0 and (channels != block.channels or stride != (1, 1)):
                weights += channels * block.channels  # beside it, where the shape changes
            total += size[0] * size[1] * weights
            channels = block.channels
        size = [size[axis] // block.pool[axis] for axis in (0, 1)]
    widths = [channels * size[1], *model.dense, tokens]
    total += size[0] * sum(a * b for a, b in itertools.pairwise(widths))
    return 3 * 2 * total / length * frames


def table(measured: list[Measured], student: float) -> Table:
    """A line for each experiment; `student`: the operations of thchs30_dfcnn_1a in all."""
    columns = ["experiment", "weights", "updates", "TFLOP an update", "seconds an update", "batches made a second",
               "full training here", "on a V100, at least"]
    rows = []
    for each in measured:
        whole = each.operations * each.epochs
        rows.append([each.name, f"{each.weights / 1e6:.1f} M", f"{each.batches * each.epochs:,}",
                     f"{each.operations / each.batches / 1e12:.2f}", f"{each.step_s:.2f}", f"{1 / each.feed_s:.1f}",
                     duration(each.hours), duration(V100_HOURS * whole / student)])
    return Table("", columns, rows)


def duration(hours: float) -> str:
    """As people say it."""
    if hours < 1:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def machine(measured: list[Measured], busy: bool) -> str:
    """Which machine, and what its seconds are."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processors = len(os.sched_getaffinity(0))
    how = "processor seconds over processors, on a busy machine" if busy else "wall clock, on an idle machine"
    kernels = " and ".join(sorted({each.kernels for each in measured}))
    return f"Here: {processors} processors, {found[1] if found else 'unknown'}, `kernels: {kernels}`; {how}."


def publish(lines: list[str]) -> None:
    """Put lines between their marks in conf/RESULTS.md."""
    before, rest = RESULTS.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    with atomic_open(RESULTS) as file:
        file.write("\n".join([before + BEGIN, *lines, END + after]))


def main() -> None:
    """Measure each experiment in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--publish", action="store_true")
    args = parser.parse_args()
    measured = []
    for name in args.experiments:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            each = pool.submit(measure, name, args.steps, args.batch_size, args.busy).result()
        print(f"{name}: {each.step_s:.2f} s an update, first batch {each.shape}, "
              f"{each.operations / each.batches / each.step_s / 1e9:.0f} GFLOP/s; a batch is made in "
              f"{each.feed_s:.3f} s", flush=True)
        measured.append(each)
    student = load_experiment("thchs30_dfcnn_1a")
    whole = student.experiment.train.epochs * operations(student, make_batches(student, {})[1])
    lines = [*as_markdown(table(measured, whole)), "", machine(measured, args.busy)]
    print("\n".join(lines))
    if args.publish:
        publish(lines)


if __name__ == "__main__":
    main()
