"""The checks of labels, features, audio, sets and train.csv: each finds a planted fault and passes what is sound."""

import numpy as np
import pandas as pd
import pytest

from steps.config.schema import Features, Model
from steps.diagnosis import features, labels, network, training
from steps.diagnosis.network import deaf_loss
from steps.feats.audio import Audio
from steps.model.batches import Batch

MODEL = Model(blocks=[{"channels": 4, "layers": 1, "pool": [4, 1]}])
FBANK = Features(type="fbank", num_bins=20)
SYLLABLES = [f"{base}{tone}" for base in ("ba", "ma", "li", "hao", "zhong") for tone in "1234"]
TOKENS = ["<blk>", *SYLLABLES]


def said(finding):
    return " ".join([finding.finding, *finding.evidence])


def expect(finding, severity, *words):
    """Whether a finding is of this severity, and says these words."""
    assert finding.severity == severity, finding
    assert not [word for word in words if word not in said(finding)], finding


def token_lines(tokens=TOKENS, first=0):
    return [f"{token} {number}" for number, token in enumerate(tokens, first)]


def pinyin(count=60, seed=0, names=SYLLABLES, prefix="a"):
    rng = np.random.default_rng(seed)
    return {f"{prefix}-{i:03d}": list(rng.choice(names, size=rng.integers(3, 8))) for i in range(count)}


def speech(count=40, seed=0, bins=20, level=12.0):
    """Features as fbank has them of speech: frames that are correlated in time and bins, pauses between."""
    rng = np.random.default_rng(seed)
    found = {}
    for i in range(count):
        frames = int(rng.integers(60, 140))
        loudness = level + 3 * np.sin(np.arange(frames) / 9 + rng.uniform(0, 6))[:, None]
        matrix = loudness + rng.normal(size=(frames, bins)) + 0.3 * rng.normal()
        found[f"a-{i:03d}"] = matrix.astype(np.float32)
    return found


def normalised(feats, reference=None):
    everything = np.concatenate(list((reference or feats).values()))
    return {utt: (matrix - everything.mean(0)) / everything.std(0) for utt, matrix in feats.items()}


@pytest.mark.parametrize(("lines", "severity", "words"), [
    (token_lines(), "ok", "token 0 of 21"),
    (token_lines([*SYLLABLES, "<blk>"]), "error", "<blk> has id 20"),
    (token_lines(SYLLABLES), "error", "there is no <blk>"),
    (token_lines(first=1), "error", "<blk> has id 1"),
    ([*token_lines()[:-1], "zhong4 77"], "error", "not 0 to 20"),
    ([*token_lines(), "ba1 21"], "error", "twice"),
    (["<blk>"], "error", "not a table"),
])
def test_blank(lines, severity, words):
    expect(labels.judge_blank(lines), severity, words)


def test_ids():
    train, dev = pinyin(), pinyin(20, seed=1)
    expect(labels.judge_ids(train, dev, TOKENS), "ok")
    expect(labels.judge_ids({**train, "a-007": ["ba1", "xiang4"]}, dev, TOKENS), "error", "a-007", "xiang4")
    expect(labels.judge_ids({**train, "a-007": []}, dev, TOKENS), "error")
    expect(labels.judge_ids({**train, "a-007": ["<blk>"]}, dev, TOKENS), "error")
    finding = labels.judge_ids(train, {**dev, "b": ["xiang4"] * 8}, TOKENS)
    expect(finding, "warning")
    assert "tokens: all" in finding.remedy


def test_labels_fit():
    marks = pinyin()
    frames = {utt: 4 * (2 * len(ids) + 2) for utt, ids in marks.items()}
    expect(labels.judge_lengths(frames, marks, MODEL), "ok")
    expect(labels.judge_lengths({**frames, "a-003": 8}, marks, MODEL), "warning", "a-003")
    expect(labels.judge_lengths({utt: n // 4 for utt, n in frames.items()}, marks, MODEL), "error")
    twice = {"a": ["ba1", "ba1"]}  # which needs a blank between
    expect(labels.judge_lengths({"a": 8}, twice, MODEL), "error")
    expect(labels.judge_lengths({"a": 12}, twice, MODEL), "ok")


def test_text_of_other_recordings():
    rng = np.random.default_rng(5)
    marks = {f"a-{number:03d}": ["ma1"] * count for number, count in enumerate(rng.integers(1, 12, 300))}
    frames = {utt: int(30 + 20 * len(one) * rng.uniform(0.7, 1.3)) for utt, one in marks.items()}
    expect(labels.judge_match(frames, marks), "ok")
    shuffled = dict(zip(marks, rng.permutation(list(frames.values())).tolist(), strict=True))
    expect(labels.judge_match(shuffled, marks), "error")
    expect(labels.judge_match(shuffled, {utt: ["ma1"] for utt in marks}), "ok")  # single syllables


def test_sound_features_pass_every_check():
    feats = speech()
    for finding in (features.judge_finite(feats.items()), features.judge_constant(feats),
                    features.judge_silent(feats, FBANK), features.judge_clipped(feats),
                    features.judge_scale(normalised(feats))):
        assert finding.severity == "ok", finding
        assert not finding.remedy


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_no_numbers(value):
    feats = speech()
    feats["a-011"][3, 4] = value
    expect(features.judge_finite(feats.items()), "error", "a-011")
    with np.errstate(invalid="ignore"):  # the other checks say what they can
        features.judge_constant(feats), features.judge_silent(feats, FBANK), features.judge_clipped(feats)
        features.judge_scale(feats)


def test_constant_features():
    feats = speech()
    for matrix in feats.values():
        matrix[:, 15:] = -3.0
    expect(features.judge_constant(feats), "error", "5 of 20 bins")
    feats = speech()
    feats["a-002"][:] = 7.0
    expect(features.judge_constant(feats), "warning", "a-002")


def test_silent_features():
    floor = features.feature_floor(FBANK)
    feats = speech()
    feats["a-005"] = (floor + np.random.default_rng(0).uniform(0, 0.5, (80, 20))).astype(np.float32)
    expect(features.judge_silent(feats, FBANK), "warning", "a-005")
    padded = {utt: np.concatenate([matrix, np.full_like(matrix, floor)]) for utt, matrix in speech().items()}
    expect(features.judge_silent(padded, FBANK), "warning", "digital silence")
    expect(features.judge_silent({utt: 0 * matrix + floor for utt, matrix in feats.items()}, FBANK), "error")


def test_holes_as_mp3_leaves_them():
    floor, rng = features.feature_floor(FBANK), np.random.default_rng(0)
    expect(features.judge_holes(speech(), FBANK), "ok")
    feats = speech(level=15.0)
    for matrix in feats.values():
        matrix[:, 17:] = floor
        matrix[:, 10:17][rng.random((len(matrix), 7)) < 0.3] = floor
    finding = features.judge_holes(feats, FBANK)
    expect(finding, "warning", "3 of 20 bins are empty", "17, 18, 19")
    share = float(finding.finding.split(" % of the rest")[0].split()[-1])
    assert share == pytest.approx(30 * 7 / 17, abs=0.5)
    frequency, level = (float(finding.remedy.split(key)[1].split(",")[0].split()[0])
                        for key in ("high_freq: ", "floor_db: "))
    mended = FBANK.model_copy(update={"floor_db": level, "high_freq": frequency})
    values = np.concatenate([matrix[:, :17] for matrix in feats.values()])
    assert np.mean(values[values > floor] < features.feature_floor(mended)) == pytest.approx(0.25, abs=0.03)
    filled = {utt: np.maximum(matrix[:, :17], features.feature_floor(mended)) for utt, matrix in feats.items()}
    expect(features.judge_holes(filled, mended), "ok")  # what its remedy makes is found well
    edges = np.linspace(*(1127 * np.log(1 + f / 700) for f in (0, 8000)), 22)
    assert frequency == pytest.approx(700 * (np.exp(edges[18] / 1127) - 1), abs=1)
    clicks = {utt: np.where(rng.random(matrix.shape) < 0.05, 15.0, floor) for utt, matrix in feats.items()}
    assert "20 of 20 bins are empty" in said(features.judge_holes(clicks, FBANK))
    silence = {utt: 0 * matrix + floor for utt, matrix in feats.items()}
    expect(features.judge_holes(silence, FBANK), "skipped")


def test_clipped_features():
    feats = {utt: np.minimum(matrix, 14.0) for utt, matrix in speech().items()}
    expect(features.judge_clipped(feats), "error")
    expect(features.judge_clipped({**speech(), "a-001": feats["a-001"]}), "warning", "a-001")


def test_features_on_another_scale():
    feats = speech()
    expect(features.judge_scale(feats), "error")  # not normalised at all
    others = {utt: matrix / 4 for utt, matrix in feats.items()}
    expect(features.judge_scale(normalised(feats, reference=others)), "error")  # another set's CMVN
    feats["a-004"] = feats["a-004"] - np.float32(2 * np.log(32768))  # samples in ±1 among 16-bit ones
    expect(features.judge_scale(normalised(feats)), "warning", "a-004")


def recordings(count=30, rate=16000, gain=1.0):
    rng = np.random.default_rng(0)
    t = np.arange(8000) / 16000
    return {f"a-{i:03d}": Audio((0.3 * gain * np.sin(2 * np.pi * rng.uniform(100, 300) * t) * np.sin(3 * t)
                                 + 0.01 * rng.normal(size=len(t))).astype(np.float32), rate, 1) for i in range(count)}


def test_audio():
    expect(features.judge_audio(recordings(), 16000), "ok")
    clipped = {utt: one._replace(samples=np.clip(one.samples * 8, -1, 1)) for utt, one in recordings().items()}
    expect(features.judge_audio(clipped, 16000), "error")
    turned_down = {utt: one._replace(samples=one.samples * 0.3) for utt, one in clipped.items()}
    assert "clipped" in features.judge_audio(turned_down, 16000).finding
    expect(features.judge_audio({**recordings(), "a-003": clipped["a-003"]}, 16000), "warning", "a-003")
    assert "lower sample rate" in features.judge_audio(recordings(rate=8000), 16000).finding
    offset = {utt: one._replace(samples=one.samples + np.float32(0.1)) for utt, one in recordings().items()}
    assert "DC offset" in features.judge_audio(offset, 16000).finding
    silent = recordings(gain=0) | {"a": Audio(np.zeros(9, "f4"), 16000, 1)}
    assert "silent" in features.judge_audio(silent, 16000).finding


def test_lengths_of_the_sets():
    rng = np.random.default_rng(0)
    train, dev = rng.gamma(9, 30, 800), rng.gamma(9, 30, 80)
    rate, dev_rate = rng.gamma(50, 0.4, 800), rng.gamma(50, 0.4, 80)
    expect(labels.judge_set_lengths(train, dev, rate, dev_rate), "ok")
    expect(labels.judge_set_lengths(train, dev * 1.3, rate, dev_rate), "warning")
    expect(labels.judge_set_lengths(train, dev * 6, rate, dev_rate), "error")
    assert labels.judge_set_lengths(train, dev, rate, dev_rate * 2).severity != "ok"  # another text, or another pace


def test_levels_of_the_sets():
    train, dev = speech(), speech(20, seed=5)
    expect(labels.judge_set_levels(normalised(train), normalised(dev, train)), "ok")
    for change in (lambda x: x - 4, lambda x: x - np.linspace(0, 8, 20)):  # quieter; through a duller microphone
        changed = normalised({utt: change(matrix) for utt, matrix in dev.items()}, train)
        assert labels.judge_set_levels(normalised(train), changed).severity in ("warning", "error")


def test_tokens_of_the_sets():
    train, dev = pinyin(400), pinyin(40, seed=1, prefix="b")
    expect(labels.judge_set_tokens(train, dev), "ok")
    expect(labels.judge_set_tokens(train, pinyin(40, seed=1, names=SYLLABLES[:10])), "warning")
    expect(labels.judge_set_tokens(train, pinyin(40, seed=1, names=SYLLABLES[:2])), "error")
    assert labels.divergence([["a"]], [["b"]]) == pytest.approx(1) and labels.divergence([["a"]], [["a", "a"]]) == 0


def test_overlap_of_the_sets():
    train, dev = pinyin(), pinyin(20, seed=1, prefix="b")
    expect(labels.judge_overlap(train, dev, same_speakers=True), "ok")
    expect(labels.judge_overlap(train, {**dev, "a-001": ["ba1"]}, same_speakers=False), "error")
    spoken_again = {f"b{utt}": line for utt, line in list(train.items())[:20]}
    expect(labels.judge_overlap(train, spoken_again, same_speakers=True), "warning")
    expect(labels.judge_overlap(train, spoken_again, same_speakers=False), "ok")


def history(train_loss, dev_loss=None, dev_ser=None, norm=2.0, steps=100):
    count = len(train_loss)
    dev_loss = np.asarray(train_loss) * 1.2 if dev_loss is None else dev_loss
    dev_ser = np.clip(np.asarray(dev_loss) / 8, 0, 1) if dev_ser is None else dev_ser
    return pd.DataFrame({"epoch": range(1, count + 1), "steps": steps * np.arange(1, count + 1),
                         "train_loss": train_loss, "grad_norm": norm, "dev_loss": dev_loss, "dev_ser": dev_ser})


FALLING = 8 * np.exp(-0.25 * np.arange(20)) + 0.05


@pytest.mark.parametrize("judge", [training.judge_divergence, training.judge_oscillation, training.judge_plateau])
def test_a_sound_training(judge):
    finding = judge(history(FALLING, FALLING * (1.2 + 0.08 * np.random.default_rng(0).normal(size=20))))
    assert finding.severity == "ok" and not finding.remedy, finding


def test_divergence():
    climbing = np.concatenate([FALLING[:8], [2, 4, 6]])
    expect(training.judge_divergence(history(climbing)), "error")
    assert "epoch 4" in training.judge_divergence(history([5, 4, 3, np.nan])).finding


def test_oscillation():
    expect(training.judge_oscillation(history(FALLING * np.tile([1, 1.4], 10))), "warning")
    expect(training.judge_oscillation(history(3 + np.tile([0, 1.0], 10))), "error")
    expect(training.judge_oscillation(history(FALLING, FALLING * np.tile([1, 2.5], 10))), "warning")
    expect(training.judge_oscillation(history(FALLING[:3])), "skipped")
    dev = [3.71, 1.04, 0.585, 0.331, 0.301, 0.179, 0.262, 0.137, 0.206, 0.0897, 0.0918, 0.091, 0.0775, 0.0638, 0.0625,
           0.0546, 0.0523, 0.0536]  # of a sound training of mini: a steep fall is none
    expect(training.judge_oscillation(history(FALLING[:len(dev)], np.array(dev))), "ok")


def test_plateau():
    stuck = 7 + 0.01 * np.random.default_rng(0).normal(size=12)
    expect(training.judge_plateau(history(stuck, dev_ser=np.full(12, 1.0))), "error", "stuck")
    finding = training.judge_plateau(history(stuck, dev_ser=np.full(12, 1.0), steps=6))
    expect(finding, "error", "only 72 updates")
    assert "init_from" in finding.remedy
    rising = np.concatenate([FALLING[:8], np.linspace(1.5, 2.5, 12)])
    expect(training.judge_plateau(history(FALLING, rising)), "warning", "overfitting")


def emissions(paths):
    return {f"a-{i:03d}": np.log(np.eye(len(TOKENS))[path] * 0.9 + 0.1 / len(TOKENS)) for i, path in enumerate(paths)}


def test_output():
    marks = pinyin(20)
    ids = {token: i for i, token in enumerate(TOKENS)}
    right = [[x for token in line for x in (ids[token], 0)] for line in marks.values()]
    expect(network.judge_output(emissions(right), marks, epochs=9), "ok")
    expect(network.judge_output(emissions([[0] * 20] * 20), marks, epochs=9), "error", "blanks alone")
    expect(network.judge_output(emissions([[0] * 20] * 20), marks, epochs=1), "warning")
    assert "one syllable" in network.judge_output(emissions([[3, 0] * 4] * 20), marks, epochs=9).finding
    expect(network.judge_output(emissions([path * 3 for path in right]), marks, epochs=9), "warning")


SEES_A_SYLLABLE = Model(blocks=[{"channels": 4, "layers": 1, "stride": 2}] * 2)  # 7 frames, of which it leaves a fourth
SEES_A_WORD = Model(blocks=[*SEES_A_SYLLABLE.blocks, {"channels": 4, "layers": 6}])  # 55


def words(count=30, silence=40, frames=60, seed=0):
    """Features of words, 7 nats above the noise before and after them."""
    rng = np.random.default_rng(seed)
    level = np.repeat([10.0, 17.0, 10.0], [silence, frames, silence])[:, None]
    return {f"a-{i:03d}": (level + 0.7 * rng.normal(size=(len(level), 20))).astype(np.float32) for i in range(count)}


def spiking(feats, *places, every=1):
    """Paths that emit a syllable in the output frames `places`; in the first of these in one of `every` utterances."""
    paths = []
    for number, matrix in enumerate(feats.values()):
        path = np.zeros(len(matrix) // 4, int)
        path[[place for i, place in enumerate(places) if i or number % every == 0]] = 3
        paths.append(path)
    return emissions(paths)


@pytest.mark.parametrize(("model", "places", "every", "severity", "evidence"), [
    (SEES_A_WORD, (10, 17), 1, "ok", "0 of 60 syllables"),  # with the onset, in the word
    (SEES_A_WORD, (9, 25), 1, "ok", "0 of 60"),  # a frame before it, and a frame behind the word
    (SEES_A_WORD, (7, 17), 1, "error",
     "30 of 60 syllables are emitted in silence, 30 of them before the speech begins, 0 with no speech in sight"),
    (SEES_A_SYLLABLE, (7, 17), 1, "error", "30 with no speech in sight"),
    (SEES_A_WORD, (0, 17), 1, "error", "30 of them before the speech begins, 30 with no speech in sight"),
    (SEES_A_WORD, (28, 17), 1, "error", "0 of them before the speech begins, 0 with"),
    (SEES_A_WORD, (7, 12, 17), 3, "warning", "10 of 70 syllables"),
    (SEES_A_WORD, (7, 12, 17), 30, "ok", "1 of 61 syllables"),
])
def test_syllables_emitted_in_silence(model, places, every, severity, evidence):
    feats = words()
    finding = network.judge_alignment(spiking(feats, *places, every=every), feats, model, FBANK)
    expect(finding, severity, evidence)
    assert ("sortagrad" in finding.remedy) == (severity != "ok")


def test_a_spike_is_where_its_syllable_is_likeliest():
    feats = words()
    runs = spiking(feats, 5, 6, 7, 8, 9, 10, 11)
    for matrix in runs.values():
        matrix[6, 3] += 0.05  # the run reaches into the word, but its peak does not
    expect(network.judge_alignment(runs, feats, SEES_A_WORD, FBANK), "error")


def test_alignment_where_there_is_no_silence_or_next_to_no_syllable():
    feats = words(silence=0)
    expect(network.judge_alignment(spiking(feats, 0, 14), feats, SEES_A_WORD, FBANK), "ok")
    expect(network.judge_alignment(emissions([[0] * 25] * 9), words(9), SEES_A_WORD, FBANK), "skipped")
    feats["a-003"][5] = np.nan
    expect(network.judge_alignment(spiking(feats, 0, 14), feats, SEES_A_WORD, FBANK), "ok")
    flat = {utt: np.full_like(matrix, 7.0) for utt, matrix in feats.items()}
    expect(network.judge_alignment(spiking(flat, 0, 14), flat, SEES_A_WORD, FBANK), "ok")


def test_the_loss_of_a_deaf_network():
    """One frame, one label a turn: the blank only costs, so that the entropy of the labels is all there is to lose."""
    batch = Batch(None, np.ones(4, np.int32), np.array([[7], [7], [3], [5]]), np.ones(4, np.int32))
    entropy = -(0.5 * np.log(0.5) + 0.5 * np.log(0.25))
    assert deaf_loss([batch]) == pytest.approx(entropy - np.log(1 - 0.05))
    assert deaf_loss([batch, batch]) == pytest.approx(deaf_loss([batch]))
    longer = batch._replace(out_lengths=np.full(4, 9, np.int32))
    assert deaf_loss([longer]) > entropy  # where the label stands has to be guessed, too
