"""Buckets, batches and augmentation: every utterance once, nothing lost, the same for a seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.config.schema import Augment, Model, Train
from steps.model.augment import augment, resample, warped_frames
from steps.model.batches import (
    TrainingBatches,
    balanced,
    batch_size,
    choose_buckets,
    inference_batches,
    labels_fit,
    padded_length,
    plan_epoch,
)
from steps.model.network import frames_needed, out_frames

MODEL = Model(blocks=[{"channels": 4, "layers": 1, "pool": 4}])
lengths_strategy = st.lists(st.integers(1, 900), min_size=1, max_size=60)


def padding(lengths, buckets):
    return sum(padded_length(n, buckets) - n for n in lengths)


@given(lengths_strategy, st.integers(1, 5))
def test_buckets_hold_every_length_and_more_of_them_pad_less(lengths, count):
    buckets = choose_buckets(np.array(lengths), count)
    assert len(buckets) <= count and buckets == sorted(set(buckets)) and buckets[-1] >= max(lengths)
    assert padding(lengths, choose_buckets(np.array(lengths), count + 1)) <= padding(lengths, buckets)


def test_buckets_are_the_cheapest():
    lengths = [16] * 10 + [32] * 1 + [160] * 10 + [176] * 1
    tried = {first: padding(lengths, [first, 176]) for first in (16, 32, 160)}
    assert choose_buckets(np.array(lengths), 2) == [min(tried, key=tried.get), 176]
    assert padded_length(177, [32, 176]) == 224 and padded_length(33, [32, 176]) == 176


@given(lengths_strategy, st.integers(1, 4), st.integers(1, 8), st.integers(0, 9), st.integers(1, 5))
def test_an_epoch_holds_every_utterance_once_and_tops_up_the_last_batch_alone(lengths, count, most_utts, seed, parts):
    lengths = np.array(lengths)
    buckets = choose_buckets(lengths, count)
    batches = plan_epoch(lengths, buckets, most_utts, 2000, np.random.default_rng(seed), parts)
    seen = [i for _, positions in batches for i in positions]
    assert set(seen) == set(range(len(lengths)))
    assert len(seen) - len(lengths) < parts * most_utts
    for length, positions in batches:
        assert len(positions) == parts * batch_size(length, most_utts, 2000)
        assert all(lengths[i] <= length for i in positions)


def small_batches(seed=1, rank=0, train=None, **augmentation):
    rng = np.random.default_rng(0)
    feats = {f"utt{i:02d}": rng.normal(size=(int(n), 6)).astype(np.float32)
             for i, n in enumerate(rng.integers(30, 120, 25))}
    labels = {utt: [1 + len(matrix) % 3, 2, 2] for utt, matrix in feats.items()}
    train = Train(**{"batch_size": 4, "buckets": 3, **(train or {})}, augment=Augment(**augmentation))
    frames = {utt: len(matrix) for utt, matrix in feats.items()}
    return feats, labels, TrainingBatches(feats, frames, labels, MODEL, train, seed, most_labels=5, rank=rank)


def test_batches_hold_what_went_in():
    feats, labels, batches = small_batches()
    for batch in batches.epoch(1):
        for matrix, out_length, ids, count in zip(*batch, strict=True):
            utt = next(u for u, m in feats.items() if np.array_equal(m, matrix[:len(m)]))
            assert not matrix[len(feats[utt]):].any()
            assert out_length == len(feats[utt]) // 4
            assert ids[:count].tolist() == labels[utt] and not ids[count:].any()
        assert batch.feats.shape[1] in batches.buckets


def test_workers_share_each_batch_of_one_worker():
    whole = list(small_batches(train={"batch_size": 6}, level=0.3)[2].epoch(2))
    shares = [list(small_batches(rank=rank, train={"batch_size": 2, "workers": 3}, level=0.3)[2].epoch(2))
              for rank in range(3)]
    assert len({len(share) for share in shares}) == 1
    for batch, *parts in zip(whole, *shares, strict=True):
        for rank, part in enumerate(parts):
            for one, other in zip(batch, part, strict=True):
                np.testing.assert_array_equal(one[rank::3], other)


def test_micro_batches_are_the_shares_of_as_many_workers():
    accumulated = list(small_batches(rank=1, train={"batch_size": 2, "workers": 2, "accum_grad": 2})[2].epoch(1))
    whole = list(small_batches(train={"batch_size": 8})[2].epoch(1))
    for one, all_ in zip(accumulated, whole, strict=True):
        np.testing.assert_array_equal(one.feats, np.concatenate([all_.feats[1::4], all_.feats[3::4]]))


def test_an_epoch_depends_on_seed_and_number_alone():
    settings_ = {"time_warp": (0.8, 1.2), "freq_warp": (0.9, 1.1), "freq_shift": 2, "level": 0.3, "filter": 0.4,
                 "time_masks": 1, "freq_masks": 1, "freq_mask_bins": 2}

    def content(seed, epoch):
        return [batch.feats for batch in small_batches(seed, **settings_)[2].epoch(epoch)]

    assert all(np.array_equal(a, b) for a, b in zip(content(1, 2), content(1, 2), strict=True))
    assert not np.array_equal(content(1, 2)[0], content(1, 3)[0])
    assert not np.array_equal(content(1, 2)[0], content(2, 2)[0])


def test_a_filter_is_the_same_in_all_frames_and_smooth_over_frequency():
    rng = np.random.default_rng(0)
    feats = rng.normal(size=(7, 80)).astype(np.float32)
    changes = [augment(feats, 7, Augment(filter=0.5), rng) - feats for _ in range(200)]
    for change in changes:
        np.testing.assert_allclose(change, change[:1].repeat(7, 0), atol=1e-6)
        assert np.abs(change).max() <= 0.5 + 1e-6
        assert (np.abs(np.diff(change[0], 2)) > 1e-5).sum() <= 2 * (7 - 2)  # straight but at the points
    curves = np.array([change[0] for change in changes])
    assert (curves.std(axis=0) > 0.15).all() and np.abs(curves.mean(axis=0)).max() < 0.1


def test_speakers_are_balanced():
    """bob, who says a ninth of amy's frames, gets a quarter of the epoch at 0.5 and half of it at 1; nobody is lost."""
    feats = {f"amy{i:02d}": 90 for i in range(20)} | {f"bob{i:02d}": 50 for i in range(4)}
    speakers = {utt: utt[:3] for utt in feats}
    for balance, share in ((0.5, 1 / 4), (1.0, 1 / 2)):
        counts = {own[0][:3]: count for own, count in balanced(list(feats), speakers, feats, balance)}
        frames = 90 * counts["amy"], 50 * counts["bob"]
        assert frames[1] / sum(frames) == pytest.approx(share, abs=0.02) and sum(frames) == pytest.approx(2000, abs=60)


def test_an_epoch_of_balanced_speakers_has_nobody_much_more_often():
    values = {f"{who}{i}": np.full((30, 4), first + i, np.float32)
              for who, first, count in (("a", 1, 9), ("b", 20, 1), ("c", 30, 2)) for i in range(count)}
    batches = TrainingBatches(values, dict.fromkeys(values, 30), {utt: [1] for utt in values}, MODEL,
                              Train(batch_size=1, balance=1.0), 1, 1, speakers={utt: utt[0] for utt in values})
    epochs = [sorted(float(batch.feats[0, 0, 0]) for batch in batches.epoch(epoch)) for epoch in (1, 2)]
    assert all(len(epoch) == 12 and epoch.count(20) == 4 and epoch.count(30) == epoch.count(31) == 2
               for epoch in epochs)
    assert max(epochs[0].count(1 + i) for i in range(9)) == 1 and epochs[0] != epochs[1]


def test_each_utterance_is_heard_in_one_of_its_copies():
    """The copies last half as long and are negative; each is drawn about as often as the recording itself."""
    feats = {f"u{i:02d}": np.full((40, 4), 1 + i, np.float32) for i in range(60)}
    half = {utt: -matrix[:20] for utt, matrix in feats.items()}
    batches = TrainingBatches(feats, dict.fromkeys(feats, 40), {utt: [1, 2] for utt in feats}, MODEL,
                              Train(batch_size=5), 1, 2, copies=[(half, dict.fromkeys(half, 20))])
    faster = []
    for batch in batches.epoch(1):
        for matrix, out_length in zip(batch.feats, batch.out_lengths, strict=True):
            assert len(set(matrix[:4 * out_length].ravel())) == 1
            assert out_length == (10 if matrix[0, 0] > 0 else 5)
            faster.append(matrix[0, 0] < 0)
    assert len(faster) == 60 and 15 < sum(faster) < 45


def test_short_utterances_come_first_as_long_as_asked():
    _, _, batches = small_batches(train={"sortagrad": 2})
    lengths = [[batch.feats.shape[1] for batch in batches.epoch(epoch)] for epoch in (1, 2, 3)]
    ascending = sorted(lengths[0])
    assert len(set(ascending)) > 1
    assert [epoch == ascending for epoch in lengths] == [True, True, False] and sorted(lengths[2]) == ascending


def test_warping_never_takes_the_frames_that_ctc_needs():
    rng = np.random.default_rng(0)
    feats = {f"u{i}": rng.normal(size=(20, 6)).astype(np.float32) for i in range(12)}
    labels = {utt: [1, 2, 2, 1] for utt in feats}
    assert labels_fit(20, labels["u0"], MODEL) and not labels_fit(19, labels["u0"], MODEL)
    assert not labels_fit(100, [], MODEL) and out_frames(MODEL, 3) == 0
    batches = TrainingBatches(feats, dict.fromkeys(feats, 20), labels, MODEL,
                              Train(batch_size=3, augment=Augment(time_warp=(0.5, 1.5))), 1, 4)
    for batch in batches.epoch(1):
        assert (batch.out_lengths >= frames_needed(labels["u0"])).all()


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.8, 1.25), st.floats(-2, 2))
def test_resampling_keeps_range_and_constants(frames_in, frames_out, factor, shift):
    feats = np.random.default_rng(1).normal(size=(frames_in, 8)).astype(np.float32)
    out = resample(feats, frames_out, factor, shift)
    assert out.shape == (frames_out, 8) and out.dtype == np.float32
    assert out.min() >= feats.min() - 1e-5 and out.max() <= feats.max() + 1e-5
    np.testing.assert_allclose(resample(np.full_like(feats, 3), frames_out, factor, shift), 3, rtol=1e-6)


def test_resampling_moves_what_it_says():
    ramp = np.tile(np.arange(8, dtype=np.float32), (5, 1))
    np.testing.assert_allclose(resample(ramp, 5, 1.0, 1)[0], [0, 0, 1, 2, 3, 4, 5, 6])
    np.testing.assert_allclose(resample(ramp.T.copy(), 15, 1.0, 0)[:, 0], np.linspace(0, 7, 15), atol=1e-6)
    assert np.array_equal(resample(ramp, 5, 1.0, 0), ramp)


def test_masks_stay_within_their_widths():
    feats = np.ones((40, 10), np.float32)
    config = Augment(time_masks=1, time_mask_frames=5, freq_masks=1, freq_mask_bins=3)
    for seed in range(20):
        out = augment(feats, 40, config, np.random.default_rng(seed))
        assert (out == 0).all(axis=1).sum() <= 5 and (out == 0).all(axis=0).sum() <= 3
    assert np.array_equal(feats, np.ones((40, 10)))


def test_warped_frames():
    assert warped_frames(np.array([10, 1]), np.array([1.2, 0.1])).tolist() == [12, 1]


@given(lengths_strategy, st.integers(1, 8), st.integers(0, 40))
def test_inference_batches_lose_nothing_and_depend_on_the_length_alone(lengths, most_utts, behind):
    utts = [(f"u{i}", np.full((n, 2), i, np.float32)) for i, n in enumerate(lengths)]
    buckets = choose_buckets(np.array(lengths[:10]), 3)
    seen = []
    for names, feats, length, size in inference_batches(iter(utts), buckets, most_utts, 2000, behind):
        seen += names
        assert len(names) <= size == batch_size(length, most_utts, 2000)
        assert all(padded_length(len(matrix) + behind, buckets) == length for matrix in feats)
    assert sorted(seen) == sorted(name for name, _ in utts)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(8, 120), min_size=1, max_size=40), st.integers(100, 400), st.integers(1, 4),
       st.floats(0.6, 1.0), st.floats(1.0, 1.5), st.integers(0, 2))
def test_every_epoch_has_as_many_batches_as_it_says(lengths, batch_frames, parts, shortest, longest, sortagrad):
    feats = {f"u{i:03d}": np.zeros((frames, 6), np.float32) for i, frames in enumerate(lengths)}
    frames = {utt: len(matrix) for utt, matrix in feats.items()}
    train = Train(epochs=4, batch_size=6, batch_frames=batch_frames, accum_grad=parts, sortagrad=sortagrad, buckets=3,
                  augment=Augment(time_warp=(shortest, longest)))
    batches = TrainingBatches(feats, frames, {utt: [1] for utt in feats}, MODEL, train, 1, 1)
    for epoch in range(1, 5):
        assert len(list(batches.epoch(epoch))) == batches.steps_per_epoch
