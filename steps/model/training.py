"""Stage 4: from features and syllables to exp/<experiment>/final.ckpt."""

import functools
import sys
from pathlib import Path

import mindspore as ms
from mindspore import dataset

from steps.common.errors import UserError
from steps.common.files import write_json, write_lines
from steps.common.process import end_progress
from steps.common.provenance import environment
from steps.config.load import Resolved
from steps.config.schema import Train
from steps.corpus.table import read_table
from steps.corpus.write import read_pinyin
from steps.feats.archive import load_cmvn, mean_std
from steps.model.acoustic import DevPass, LogProbs, make_network
from steps.model.batches import Batch, TrainingBatches
from steps.model.callbacks import EpochEnd, History, StepLog
from steps.model.checkpoints import (
    Checkpoints,
    average,
    begin,
    is_finished,
    load_weights,
    named_parameters,
    save_weights,
    tokens_hash,
)
from steps.model.data import NormalisedFeatures, load_splicer, training_labels
from steps.model.fine_tune import find_source, start_from
from steps.model.layers import kernels_for, make_kernels, set_device
from steps.model.loss import CTCObjective
from steps.model.optimizer import learning_rate, make_optimizer
from steps.model.parallel import Workers, check_precision, join_workers, make_step, with_precision
from steps.model.summary import Summary
from steps.text.syllables import BLANK, all_syllables, read_tokens


def train(config: Resolved, exp_dir: Path) -> None:
    """Train an experiment, or go on with one that was interrupted; where it is finished, do nothing.

    What exp_dir holds of a training with another config or other data is dropped. Called in all workers that msrun has
    started, and in their scheduler, it trains with all of them (`steps.model.launch`).
    """
    experiment = config.experiment
    if is_finished(config, exp_dir):
        print(f"{exp_dir}/final.ckpt is there, made from this very config and data", file=sys.stderr)
        return
    check_precision(experiment)
    set_device(experiment.device, exp_dir / "log")
    workers = join_workers(experiment.train.workers)  # from here on one may write: all have looked
    if workers is None:
        return
    source = find_source(config)
    ms.set_seed(experiment.seed)
    tokens = experiment_tokens(config)
    batches, dev_features, short = _load_data(config, tokens, workers)
    network = with_precision(make_network(config, tokens), experiment.train.precision)
    if workers.writes:
        begin(config, exp_dir, tokens, batches.buckets)
        _report(config, exp_dir, network, short)
    workers.wait()  # until what others must not go on from has gone

    steps = batches.steps_per_epoch * experiment.train.epochs
    kernels = make_kernels(experiment)
    optimizer = make_optimizer(experiment.train.optimizer, network, steps, kernels)
    clip = kernels.clip(experiment.train.optimizer.clip_norm)
    step = make_step(CTCObjective(network, kernels), optimizer, clip, experiment.train, workers)
    checkpoints = Checkpoints(exp_dir / "checkpoints")
    history = _resume(checkpoints, network, optimizer)
    if source and not history.rows:
        start_from(source, network, experiment.model.output, tokens)
    dev_pinyin = read_pinyin(config.data_dir / "dev" / "pinyin")
    dev = DevPass(LogProbs(network, config, batches.buckets), dev_features, dev_pinyin, tokens, workers)
    _run(experiment.train, batches, step, network, optimizer, dev, checkpoints, history, workers)
    if workers.writes:
        _finish(config, exp_dir, network, checkpoints, history, tokens)


def experiment_tokens(config: Resolved) -> list[str]:
    """The network's tokens: those of the training set, or with `tokens: all` every syllable of Mandarin, too."""
    tokens = read_tokens(config.data_dir / "lang" / "tokens.txt")
    if config.experiment.tokens == "all":
        tokens = [BLANK, *sorted({*tokens[1:], *all_syllables()})]
    return tokens


def _load_data(config: Resolved, tokens: list[str], workers: Workers):
    """(this worker's batches, normalised features of dev, training utterances left out as too short)"""
    mean, std = mean_std(load_cmvn(config.cmvn))
    normalised = functools.partial(NormalisedFeatures, mean=mean, std=std, cmn_frames=config.features.cmn_frames)
    features = normalised(config.feature_dir / "train")
    copies = [normalised(config.feature_dir / name) for name in config.features.copy_sets]
    pinyin = read_pinyin(config.data_dir / "train" / "pinyin")
    labels, short = training_labels(pinyin, features.frames, tokens, config)
    most = max(map(len, labels.values()))
    splicer = load_splicer(labels, features.frames, tokens, config)
    batches = TrainingBatches(features, features.frames, labels, config.experiment.model, config.experiment.train,
                              config.experiment.seed, most, workers.rank, splicer,
                              read_table(config.data_dir / "train" / "utt2spk"),
                              [(copy, copy.frames) for copy in copies])
    return batches, normalised(config.feature_dir / "dev"), short


def _report(config: Resolved, exp_dir: Path, network, short: list[str]) -> None:
    """What is left out, and what this training is made with, for the reader and for env.json."""
    write_lines(exp_dir / "too_short", short)
    if short:
        print(f"left out {len(short)} training utterances, which have more syllables than the network leaves frames "
              f"for: {exp_dir}/too_short", file=sys.stderr)
    kernels, why = kernels_for(config.experiment)
    print(f"kernels: {kernels} ({why})", file=sys.stderr)
    weights = sum(parameter.size for parameter in network.trainable_params())
    write_json(exp_dir / "env.json", {**environment(), "kernels": kernels, "weights": weights})


def _resume(checkpoints: Checkpoints, network, optimizer) -> History:
    latest = checkpoints.latest()
    if latest is None:
        return History()
    print(f"going on after epoch {latest['epoch']}", file=sys.stderr)
    checkpoints.restore(latest["epoch"], network, optimizer)
    return History(latest["history"])


class _Source:
    """Gives MindSpore's dataset the batches of one epoch after the other."""

    def __init__(self, batches: TrainingBatches):
        self._batches = batches
        self.next_epoch = 1

    def __len__(self) -> int:
        return self._batches.steps_per_epoch

    def __iter__(self):
        epoch = self.next_epoch
        self.next_epoch += 1
        return self._batches.epoch(epoch)


def _run(train: Train, batches: TrainingBatches, step, network, optimizer, dev: DevPass, checkpoints: Checkpoints,
         history: History, workers: Workers) -> None:
    done = history.rows[-1].epoch if history.rows else 0
    if done >= train.epochs or (train.patience and history.rows and history.epochs_since_best() >= train.patience):
        return
    source = _Source(batches)
    data = dataset.GeneratorDataset(source, list(Batch._fields), shuffle=False, num_parallel_workers=1,
                                    python_multiprocessing=False)
    total = train.epochs * batches.steps_per_epoch
    step_log = StepLog(checkpoints.folder.parent, train.epochs, batches.steps_per_epoch, done + 1, workers.writes)
    rate_after = functools.partial(learning_rate, train.optimizer, total)
    callbacks = [step_log, EpochEnd(workers, step_log, dev, history, checkpoints, network, optimizer, rate_after,
                                    train.keep_checkpoints, max(1, train.average), train.patience)]
    if train.summary and workers.writes:
        callbacks.append(Summary(checkpoints.folder.parent / "summary", step_log, history, optimizer, rate_after))
    source.next_epoch = done + 1  # MindSpore has already begun an epoch to see what it holds
    ms.Model(step).train(train.epochs, data, callbacks=callbacks, dataset_sink_mode=False,
                         initial_epoch=done)


def _finish(config: Resolved, exp_dir: Path, network, checkpoints: Checkpoints, history: History,
            tokens: list[str]) -> None:
    """Write final.ckpt: the best epoch's weights, or the mean of the best few."""
    best = history.best(max(1, config.experiment.train.average))
    paths = [checkpoints.weights_path(epoch) for epoch in best]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UserError(f"{missing[0]}: gone; remove {exp_dir} and train again")
    history.write(exp_dir / "train.csv")
    if len(paths) == 1:
        load_weights(paths[0], named_parameters(network))
    else:
        average(paths, network)
    facts = {"tokens_sha256": tokens_hash(tokens), "epoch": best[0]}
    save_weights(exp_dir / "final.ckpt", named_parameters(network), facts)
    end_progress(exp_dir)
    print(f"{exp_dir}/final.ckpt: epoch {', '.join(map(str, sorted(best)))}", file=sys.stderr)
