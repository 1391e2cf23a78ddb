"""The checks that run a (tiny) network: each finds a planted fault and passes what is sound."""

import json
import math
import os
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import tiny_corpus
import yaml
from mindspore import ops
from test_ctc import log_softmax
from test_diagnose_data import expect
from tiny_corpus import EXPERIMENT

from steps import diagnose
from steps.config.load import dump, load_experiment
from steps.diagnosis import network, training
from steps.diagnosis.bench import Bench
from steps.diagnosis.context import Context, Finding, summarise
from steps.diagnosis.network import check_alignment, check_output
from steps.diagnosis.training import check_norm
from steps.feats.archive import load_cmvn, save_cmvn
from steps.model.batches import Batch
from steps.model.checkpoints import named_parameters, save_weights
from steps.model.layers import CTCObjective

LOUD = np.float32(12)  # above digital silence


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A project with stages 1 to 3 of the corpus `tiny`, as the working directory."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        speak = tiny_corpus.speak
        patch.setattr(tiny_corpus, "speak", lambda *words: speak(*words) + LOUD)
        tiny_corpus.write_tiny(folder, {**EXPERIMENT, "train": {**EXPERIMENT["train"], "kernels": "stock"}})
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def context(tiny):
    return Context(load_experiment("tiny"), Path("exp/tiny"), minutes=60)


@pytest.fixture(scope="module")
def shared(context):
    return Bench(context)


@pytest.fixture
def bench(shared):
    yield shared
    shared.reset()


RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 9, 5)) * 2
BATCH = Batch(None, np.array([6, 8, 5]), np.array([[1, 2, 0], [3, 3, 1], [2, 0, 0]]), np.array([2, 3, 1]))


def test_a_right_loss():
    value = network.reference_loss(log_softmax(LOGITS), BATCH)
    expect(network.judge_loss(value * (1 + 1e-5), LOGITS, BATCH), "ok")
    expect(network.judge_loss(value + 1, LOGITS, BATCH), "error", "nor any")


@pytest.mark.parametrize("what", [what for what, _, _ in network.MISTAKES])
def test_every_mistake_in_the_loss_is_named(what):
    flawed = next(function for name, _, function in network.MISTAKES if name == what)
    finding = network.judge_loss(flawed(LOGITS, BATCH), LOGITS, BATCH)
    expect(finding, "error", what)
    assert finding.remedy


class TwoSoftmaxes(CTCObjective):
    def construct(self, feats, out_lengths, labels, label_lengths):
        probs = ops.softmax(self.network(feats), -1)
        return self.loss(probs, out_lengths, labels, label_lengths).sum() / label_lengths.sum()


def test_the_compiled_loss(bench):
    expect(diagnose.ON_NETWORK["loss"](bench), "ok")
    expect(diagnose.ON_NETWORK["logits"](bench), "ok")


def test_a_compiled_loss_with_a_mistake(context):
    other = Bench(context, TwoSoftmaxes)
    expect(network.judge_loss(other.loss(), other.logits(), other.batch), "error", "twice")


def test_outputs():
    log_probs = log_softmax(LOGITS)
    expect(network.judge_logits(LOGITS, log_probs), "ok")
    for logits, decoded, words in ((np.exp(log_probs), log_probs, "ends with a softmax"),
                                   (np.maximum(LOGITS, 0), log_probs, "ReLU"),
                                   (LOGITS, LOGITS, "not log-probabilities"), (LOGITS * np.nan, log_probs, "NaN")):
        expect(network.judge_logits(logits, decoded), "error", words)


@pytest.mark.parametrize("check", [network.check_relus, network.check_gradients, training.check_overfit])
def test_a_sound_network(bench, check):
    finding = check(bench)
    assert finding.severity == "ok" and "<svg" in finding.figures[0], finding


def test_dead_relus(bench):
    beta = next(value for name, value in bench.network.parameters_and_names() if name.endswith("beta"))
    beta.set_data(ms.Tensor(np.full(beta.shape, -100, np.float32)))
    expect(network.judge_relus(bench.activations()), "error", "100.0 %")
    one = np.abs(RNG.normal(size=(4, 10, 8)))
    one[..., :5] = 0
    expect(network.judge_relus({"a": summarise(one + 1), "b": summarise(one)}), "warning")
    others = summarise(np.roll(one, 4, axis=-1))  # what is silent in one batch may speak in the next
    expect(network.judge_relus({"b": summarise(one).joined(others)}), "ok")
    assert "NaN" in network.judge_relus({"a": summarise(one * np.nan)}).finding


def test_vanishing_and_exploding_gradients(bench):
    gammas = [value for name, value in bench.network.parameters_and_names() if name.endswith("gamma")]
    gammas[-1].set_data(ms.Tensor(np.full(gammas[-1].shape, 1e-9, np.float32)))
    expect(network.judge_gradients(bench.gradient_norms(), 5.0), "error", "vanish")
    names = [f"{layer}.weight" for layer in "abcde"]
    expect(network.judge_gradients(dict.fromkeys(names, (1.0, 2.0)), 5.0), "ok")
    growing = {name: (2e4 * 10.0 ** -layer, 1.0) for layer, name in enumerate(names)}
    assert "explode" in network.judge_gradients(growing, 0).finding
    assert "NaN" in network.judge_gradients({**growing, "c.weight": (math.nan, 1.0)}, 5.0).finding
    assert "no gradient" in network.judge_gradients(dict.fromkeys(names, (0.0, 2.0)), 5.0).finding


def test_a_network_that_cannot_learn_a_batch(bench, monkeypatch):
    """Nothing of the input gets through its last norm."""
    start = dict(bench._start)
    for name, value in start.items():
        if name.endswith(("gamma", "beta")) and "moment" not in name:
            start[name] = np.zeros_like(value)
    monkeypatch.setattr(bench, "_start", start)
    expect(training.check_overfit(bench), "error")


def test_judging_an_overfit():
    falling = 8 * np.exp(-np.arange(150) / 20)
    expect(training.judge_overfit(falling, 0.0, 150), "ok")
    expect(training.judge_overfit(np.full(150, 6.5), 1.0, 150), "error")
    expect(training.judge_overfit(np.append(falling[:40], np.nan), 1.0, 150), "error")
    expect(training.judge_overfit(falling[:30], 1.0, 150), "warning")


@pytest.mark.parametrize(("rate", "severities", "words"), [
    (0.01, ["ok"], "learns at 0.01"), (30.0, ["warning", "error"], "too high"),
    (1e-4, ["warning", "error"], "too low")])
def test_the_sweep_sees_rates_that_are_too_high_or_low(bench, monkeypatch, rate, severities, words):
    monkeypatch.setattr(training, "STEPS", (60, 60))  # enough for so few syllables
    monkeypatch.setitem(vars(bench.context.config.experiment.train.optimizer), "learning_rate", rate)  # it is frozen
    finding = training.check_rate(bench)
    assert finding.severity in severities and words in finding.finding, (finding.finding, finding.evidence)
    assert len(finding.figures) == 2


def test_judging_rates():
    """What 64 words of hsk gave in 160 steps for the student project's stack (dfcnn_small, factored): see 3e-3."""
    measured = {1e-5: 3.66, 1e-4: 0.0, 1e-3: 0.65, 3e-3: 2.96, 9e-3: 4.83}
    finding = training.judge_rate(measured, 3e-3, 160, deaf=5.29)
    assert finding.severity == "warning" and "too high" in finding.finding and "about 0.001;" in finding.remedy
    expect(training.judge_rate(measured, 9e-3, 160, deaf=5.29), "error")
    expect(training.judge_rate(measured, 1e-3, 160, deaf=5.29), "ok")
    expect(training.judge_rate({1e-3: 0.02, 3e-3: 0.1}, 3e-3, 160, deaf=5.29), "ok")  # both have learnt
    expect(training.judge_rate({1e-3: 0.8, 3e-3: math.inf}, 3e-3, 160, deaf=5.29), "error")
    assert "too low" in training.judge_rate({1e-4: 5.0, 3e-4: 1.0}, 1e-4, 160, deaf=5.29).finding
    assert "none of the rates" in training.judge_rate({1e-3: 5.2, 3e-3: 5.3}, 1e-3, 160, deaf=5.29).finding


@pytest.mark.parametrize(("configured", "good"), [(3.0, 0.01), (0.01, 0.01), (1e-6, 0.01), (0.3, 0.001)])
def test_the_sweep_ends_where_it_has_found_a_rate_at_which_the_network_hears(configured, good):
    scores = {}
    while (rate := training.next_rate(scores, configured, deaf=5.0)) is not None:
        far = math.log10(rate / good)
        scores[rate] = min(5.0, far + 1) if far > 0 else 1 - 4 * far
    assert min(scores.values()) < training.DEAF * 5 and len(scores) <= training.MOST
    assert sorted(scores)[0] < configured < sorted(scores)[-1]
    assert training.next_rate({configured * factor: 0.1 for factor in training.FACTORS}, configured, deaf=5.0) is None


def test_what_a_finished_training_has_left(tiny, tmp_path, monkeypatch):
    before = Bench(Context(load_experiment("tiny"), tmp_path))
    for check in (check_output, check_alignment, check_norm):
        assert check(before).severity == "skipped" and "no checkpoint" in check(before).finding
    before.train(0.01 * training.shape(80), before.batches)
    save_weights(tmp_path / "final.ckpt", named_parameters(before.network), {})
    after = Bench(Context(load_experiment("tiny"), tmp_path))
    for name in ("feats", "raw_feats", "pinyin"):  # too few of dev's are short enough
        of_train = getattr(after.context, name)("train")
        monkeypatch.setattr(after.context, name, lambda part, of_train=of_train: of_train)
    feats, pinyin = after.context.feats("dev"), dict(after.context.pinyin("dev"))
    del pinyin[min(feats, key=lambda utt: len(feats[utt]))]  # what has features may have no pinyin
    monkeypatch.setattr(after.context, "pinyin", lambda part: pinyin)
    heard, emitted = check_output(after), check_alignment(after)
    assert heard.severity == emitted.severity == "ok", (heard, emitted)
    assert emitted.evidence[0].startswith("0 of ") and emitted.evidence[1] == "an output frame sees 0.10 s"
    expect(check_norm(after), "ok")
    for name, value in after._trained_weights.items():
        value *= 9 if "moving_variance" in name else 1
    finding = check_norm(after)
    assert finding.severity == "warning" and "freeze_norm" in finding.remedy, finding


def test_the_network_is_the_one_that_training_begins_with(tiny, context, bench, capsys):
    """Fine-tuning from another experiment: its weights and its CMVN."""
    source = Path("exp/source")
    source.mkdir(parents=True)
    config = load_experiment("tiny")
    (source / "config.yaml").write_text(dump(config))
    (source / "tokens.txt").write_text(Path("data/tiny/lang/tokens.txt").read_text())
    save_weights(source / "final.ckpt", named_parameters(bench.network), {})
    stats = load_cmvn(context.config.feature_dir / "cmvn")
    stats[1, :-1] += 2 * stats[0, :-1] + stats[0, -1]  # of features that are 1 higher
    stats[0, :-1] += stats[0, -1]
    save_cmvn(source / "cmvn", stats)
    train = {**EXPERIMENT["train"], "kernels": "stock", "init_from": "source"}
    Path("conf/tuned.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "seed": 2, "train": train}))
    tuned = Bench(Context(load_experiment("tuned"), Path("exp/tuned")))
    np.testing.assert_allclose(tuned.context.mean_std[0], context.mean_std[0] + 1, rtol=1e-5)
    expected = named_parameters(bench.network)
    found = named_parameters(tuned.network)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value.asnumpy(), expected[name].asnumpy(), err_msg=name)
    assert "kernels: stock (train.kernels says so)" in capsys.readouterr().err


def test_what_ran_before_leaves_no_trace(bench):
    first = bench.train([0.01] * 3, bench.batches).losses
    bench.reset()
    assert np.array_equal(bench.train([0.01] * 3, bench.batches).losses, first)


def test_an_error_in_the_data_spares_the_network_its_checks(context, monkeypatch):
    monkeypatch.setitem(diagnose.ON_DATA, "ids", lambda context: Finding("error", "planted"))
    found = {finding.check: finding for finding in diagnose.run_checks(context)}
    assert all(found[name].severity == "skipped" and "ids" in found[name].finding for name in diagnose.ON_NETWORK)


def test_the_script(tiny, context, bench, monkeypatch, capsys):
    monkeypatch.setattr(diagnose, "Context", lambda *_: context)
    monkeypatch.setattr(context, "minutes", 0.01)  # tests above train for longer
    monkeypatch.setattr(diagnose, "Bench", lambda _: bench)
    monkeypatch.setattr("sys.argv", ["diagnose", "tiny", "--strict"])
    diagnose.main()
    printed = capsys.readouterr().out
    results = json.loads((tiny / "exp/tiny/diagnosis.json").read_text())
    assert [one["check"] for one in results] == [*diagnose.ON_DATA, *diagnose.ON_NETWORK]
    assert "error" not in {one["severity"] for one in results}, printed
    for one in results:
        assert f"{one['check']}: {one['finding']}" in printed
    page = (tiny / "exp/tiny/diagnosis.html").read_text()
    assert page.count("<svg") >= 7 and "variant 2" in page


def test_only_strict_fails_where_there_is_an_error(tiny, monkeypatch, capsys):
    (tiny / "conf/broken.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "model": {"blocks": [
        {"channels": 4, "layers": 1, "pool": [64, 1]}]}}))
    monkeypatch.setattr("sys.argv", ["diagnose", "broken"])
    diagnose.main()
    assert "error    labels fit" in capsys.readouterr().out
