"""Stage 4: from features and syllables to exp/<experiment>/final.ckpt. `train` is the whole of it.

Read next: batches (what the network is given), network, layers (the step), callbacks (the end of an epoch).
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import dataset, nn

from steps.common.checksums import AGAIN, HISTORY, TRAINED, check_sums, write_sums
from steps.common.errors import UserError, counted
from steps.config.exp_dir import end_progress, inputs
from steps.config.load import Resolved
from steps.corpus.table import read_speakers
from steps.corpus.write import read_pinyin
from steps.feats.archive import CACHE_BYTES, NormalisedFeatures, dev_pinyin, having_features, load_cmvn, mean_std
from steps.model.acoustic import DevPass, LogProbs, find_source, make_network, start_from
from steps.model.augment import load_splicer
from steps.model.batches import Batch, TrainingBatches, labels_fit
from steps.model.callbacks import EpochEnd, StepLog, Summary, Training
from steps.model.checkpoints import (
    Checkpoints,
    History,
    average,
    begin,
    describe_run,
    named_parameters,
    read_checkpoint,
    save_weights,
)
from steps.model.layers import CTCObjective, layer_maker, set_device
from steps.model.network import DFCNN, freeze_norms
from steps.model.optimizer import make_optimizer
from steps.model.parallel import Workers, check_precision, join_workers, make_step, with_precision
from steps.text.syllables import BLANK, all_syllables, read_tokens, tokens_hash


def train(config: Resolved, exp_dir: Path) -> None:
    """Train an experiment, or go on with one that was interrupted.

    A training in exp_dir that had another config or other data is moved aside. With several workers, msrun calls this
    in each of them and in their scheduler (`steps.stage4_train`). Raises UserError if the loss is not finite.
    """
    experiment = config.experiment
    check_precision(experiment)
    set_device(experiment.device, exp_dir / "log")
    # No worker writes before all have met: until then the others look at what is there.
    workers = join_workers(experiment.train.workers)
    if workers is None:
        return
    read = inputs(config)
    tokens = experiment_tokens(config)
    network = with_precision(network_at_start(config, tokens), experiment.train.precision)
    batches, dev, left_out = load_data(config, tokens, workers)
    if workers.writes:
        begin(config, exp_dir, tokens, batches.buckets, read)
        describe_run(config, exp_dir, network, left_out)
    workers.wait()  # until worker 0 has moved an older training aside: the others look for checkpoints next

    steps = batches.steps_per_epoch * experiment.train.epochs
    optimizer, new_step = make_update(config, network, steps, workers)
    step = new_step()  # with amp it gives the optimizer more parameters, which checkpoints hold
    checkpoints = Checkpoints(exp_dir / "checkpoints")
    history, begun = _resume(checkpoints, network, optimizer)
    dev_pass = DevPass(LogProbs(network, config, batches.buckets), *dev, tokens, workers)
    training = Training(exp_dir, experiment.train, batches.steps_per_epoch, network, optimizer, dev_pass, checkpoints,
                        history, workers)
    if not training.is_over:
        _run(training, step, new_step, batches, begun)
    epochs = _load_best(training)
    if workers.writes:
        _finish(training, epochs, tokens)


def make_update(config: Resolved, network: DFCNN, steps: int, workers: Workers
                ) -> tuple[nn.Cell, Callable[[], nn.Cell]]:
    """The optimizer for a training of so many `steps`, and what makes the step: loss, gradients, and the update by it.
    """
    train, make = config.experiment.train, layer_maker(config.experiment)
    optimizer = make_optimizer(train.optimizer, network, steps, make)
    clip = make.clip(train.optimizer.clip_norm)
    return optimizer, partial(make_step, CTCObjective(network, make), optimizer, clip, train, workers)


def _run(training: Training, step: nn.Cell, new_step: Callable[[], nn.Cell], batches: TrainingBatches,
         begun: dict[str, Any]) -> None:
    """All epochs that are not done yet; `begun` is what a checkpoint keeps of the first of them.

    In the last `freeze_norm` epochs batch norm uses its averages. The step that does is a new one, compiled again.
    """
    step_log = StepLog(training, begun)
    callbacks = [step_log, EpochEnd(training, step_log)]
    if training.config.summary and training.workers.writes:
        callbacks.append(Summary(training, step_log))
    resumed, epochs = training.history.epochs, training.config.epochs
    frozen_from = epochs - training.config.freeze_norm
    parts = {frozen_from, epochs}  # epochs at whose end something changes
    if begun:
        parts.add(resumed + 1)  # apart from the others, since all epochs of one dataset must be equally long
    for last in sorted(parts):
        done = training.history.epochs
        if done >= last or training.is_over:
            continue
        if done >= frozen_from:
            freeze_norms(training.network)
            step = step if done == resumed else new_step()
        source = _Source(batches, begun.get("step", 0) if done == resumed else 0)
        _train_epochs(ms.Model(step), source, callbacks, done, last)


def _train_epochs(model: ms.Model, source: "_Source", callbacks: list[ms.Callback], done: int, last: int) -> None:
    """The epochs after `done`, up to and with `last`."""
    data = dataset.GeneratorDataset(source, list(Batch._fields), shuffle=False, num_parallel_workers=1,
                                    python_multiprocessing=False)
    source.next_epoch = done + 1  # GeneratorDataset has already begun an epoch, to see the types
    try:
        model.train(last, data, callbacks=callbacks, dataset_sink_mode=False, initial_epoch=done)
    except RuntimeError:
        if source.error is not None:
            raise source.error from None
        raise


class _Source:
    """Gives MindSpore's dataset the batches of one epoch after the other, without the first `skip` of each."""

    def __init__(self, batches: TrainingBatches, skip: int):
        self._batches = batches
        self._skip = skip
        self.next_epoch = 1
        self.error: UserError | OSError | None = None  # what MindSpore wraps into a RuntimeError of its own

    def __len__(self) -> int:
        return self._batches.steps_per_epoch - self._skip

    def __iter__(self):
        epoch = self.next_epoch
        self.next_epoch += 1
        return self._batches_of(epoch)

    def _batches_of(self, epoch: int) -> Iterator[Batch]:
        try:
            yield from self._batches.epoch(epoch, self._skip)
        except (UserError, OSError) as error:
            self.error = error
            raise


def _load_best(training: Training) -> list[int]:
    """Load the best epoch's weights, or the mean of as many of the best `average` ones as dev's error is lowest with.

    All workers take part. Returns the epochs, the best one first.
    """
    network, history = training.network, training.history
    best = history.best(max(1, training.config.average))
    training.workers.wait()  # until worker 0 has written them
    paths = [training.checkpoints.weights_path(epoch) for epoch in best]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UserError(f"{missing[0]}: gone; remove {training.exp_dir} and train again")
    loaded = [read_checkpoint(path) for path in paths]
    network.set_train(False)
    dev_ser = {1: min(row.dev_ser for row in history.rows)}
    for count in range(2, len(best) + 1):
        average(loaded[:count], network)
        dev_ser[count] = training.dev()[1]
        print(f"the mean of the {count} best epochs: dev syllable error rate {dev_ser[count]:.2%}", file=sys.stderr)
    chosen = min(dev_ser, key=dev_ser.get)
    average(loaded[:chosen], network)
    return best[:chosen]


def _finish(training: Training, epochs: list[int], tokens: list[str]) -> None:
    """Write final.ckpt, the network's weights, which are of `epochs`."""
    exp_dir = training.exp_dir
    training.history.write(exp_dir / "train.csv")
    facts = {"tokens_sha256": tokens_hash(tokens), "epoch": epochs[0]}
    save_weights(exp_dir / "final.ckpt", named_parameters(training.network), facts)
    write_sums(exp_dir, TRAINED + HISTORY)
    end_progress(exp_dir)
    print(f"{exp_dir}/final.ckpt: epoch {', '.join(map(str, sorted(epochs)))}", file=sys.stderr)


def experiment_tokens(config: Resolved) -> list[str]:
    """The network's tokens: those of the training set. With `tokens: all`, also every other syllable of Mandarin.

    Raises UserError if tokens.txt is not there, or not as stage 2 wrote it.
    """
    check_sums(config.data_dir / "lang", AGAIN.format("2 (lexicon)"), ["tokens.txt"])
    tokens = read_tokens(config.data_dir / "lang" / "tokens.txt")
    if config.experiment.tokens == "all":
        tokens = [BLANK, *sorted({*tokens[1:], *all_syllables()})]
    return tokens


def network_at_start(config: Resolved, tokens: list[str]) -> DFCNN:
    """The network with the weights that training begins with: random ones by the seed, or those of `train.init_from`.

    Raises UserError if the source of the weights is not there or of another kind.
    """
    source = find_source(config)
    ms.set_seed(config.experiment.seed)
    network = make_network(config, tokens, training=True)
    if source:
        start_from(source, network, config.experiment.model.output, tokens)
    return network


def load_data(config: Resolved, tokens: list[str], workers: Workers
              ) -> tuple[TrainingBatches, tuple[NormalisedFeatures, dict[str, list[str]]], dict[str, str]]:
    """Read what is trained on.

    Returns this worker's batches, (the normalised features of dev by utterance, its syllables), and the training
    utterances left out, with the reason for each. Raises UserError if files are missing or do not fit each other, and
    if there are fewer utterances than an update takes.
    """
    train = config.experiment.train
    mean, std = mean_std(load_cmvn(config.cmvn))
    budget, sets = CACHE_BYTES * train.hosts // train.workers, []
    for name in ("dev", "train", *config.features.copy_sets):
        sets.append(NormalisedFeatures(config.feature_dir / name, mean, std, config.features, budget))
        budget -= sets[-1].cached_bytes
    dev_feats, feats, *copies = sets
    pinyin = read_pinyin(config.data_dir / "train" / "pinyin")
    labels, left_out = training_labels(pinyin, feats.frames, tokens, config)
    if train.accum_grad * train.workers > len(labels):
        raise UserError(f"train: an update is of accum_grad, {train.accum_grad}, batches of {train.workers} workers, "
                        f"but {config.data_dir}/train has {counted(len(labels), 'utterance')}; lower accum_grad or "
                        "workers")
    most = max(map(len, labels.values()))
    splicer = load_splicer(labels, feats.frames, tokens, config)
    batches = TrainingBatches(feats, feats.frames, labels, config.experiment.model, train, config.experiment.seed, most,
                              workers.rank, splicer, read_speakers(config.data_dir / "train" / "utt2spk", labels),
                              [(copy, copy.frames) for copy in copies])
    return batches, (dev_feats, dev_pinyin(config, dev_feats)), left_out


TOO_SHORT = "more syllables than the network leaves frames for"
WORDLESS = "no syllables"


def training_labels(pinyin: dict[str, list[str]], frames: Mapping[str, int], tokens: list[str],
                    config: Resolved) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Token ids by utterance; and the utterances that cannot be trained on, with the reason for each.

    Utterances without features are those that stage 3 skipped. Raises UserError for a syllable that is not a token, and
    where more than one utterance in ten would be left out.
    """
    ids = {token: number for number, token in enumerate(tokens)}
    unknown = Counter(syllable for syllables in pinyin.values() for syllable in syllables if syllable not in ids)
    if unknown:
        raise UserError(f"{config.data_dir}/train/pinyin: {counted(len(unknown), 'syllable')} not in tokens.txt, "
                        f"such as {unknown.most_common(1)[0][0]!r}; run stage 2 (lexicon) again")
    heard = having_features(pinyin, frames, config.data_dir / "train" / "pinyin")
    labels = {utt: [ids[syllable] for syllable in syllables] for utt, syllables in heard.items()}
    left_out = {utt: TOO_SHORT if ids else WORDLESS for utt, ids in labels.items()
                if not labels_fit(frames[utt], ids, config.experiment.model)}
    if len(left_out) * 10 > len(labels):
        _refuse(config, left_out, len(labels))
    return {utt: ids for utt, ids in labels.items() if utt not in left_out}, left_out


def _refuse(config: Resolved, left_out: dict[str, str], count: int) -> None:
    reason, number = Counter(left_out.values()).most_common(1)[0]
    utt = min(utt for utt in left_out if left_out[utt] == reason)
    remedy = "remove them from the corpus, or add what is spoken to its text" if reason == WORDLESS else \
        "lower the strides and pools in frames (model.blocks), or check that audio and text belong together"
    raise UserError(f"{config.data_dir}/train: {number} of {count} utterances, such as {utt}, have {reason}; {remedy}")


def _resume(checkpoints: Checkpoints, network: nn.Cell, optimizer: nn.Cell) -> tuple[History, dict[str, Any]]:
    """The epochs that are done, and what is kept of the one that was begun. The weights are as they were then."""
    latest = checkpoints.latest()
    if latest is None:
        return History(), {}
    begun = latest.get("begun", {})
    more = f" and {begun['step']} updates" if begun else ""
    print(f"going on after epoch {latest['epoch']}{more}", file=sys.stderr)
    checkpoints.restore(latest, network, optimizer)
    return History(latest["history"]), begun
