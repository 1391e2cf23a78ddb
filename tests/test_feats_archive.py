"""ark and scp, CMVN statistics: against kaldi-native-io and numpy."""

import kaldi_native_io as kio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steps.common.errors import UserError
from steps.feats import archive


def matrices(count: int = 5, bins: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {f"小明-{index:03}": rng.normal(5, 3, (index + 1, bins)).astype(np.float32) for index in range(count)}


def write_all(folder, feats, compress=False):
    with archive.feature_writer(folder, compress) as write:
        for utt, matrix in feats.items():
            write(utt, matrix)


def test_what_is_written_is_read(tmp_path):
    feats = matrices()
    write_all(tmp_path / "set", feats)
    reader = archive.FeatureReader(tmp_path / "set/feats.scp")
    assert list(reader) == list(feats) and len(reader) == 5 and "小明-003" in reader and "x" not in reader
    for utt in reversed(feats):
        np.testing.assert_array_equal(reader[utt], feats[utt])
        assert reader[utt].dtype == np.float32
    assert (tmp_path / "set/utt2num_frames").read_text(encoding="utf-8").splitlines()[1] == "小明-001 2"
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["feats.ark", "feats.scp", "utt2num_frames"]


def test_kaldi_reads_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    feats = matrices()
    write_all(tmp_path.relative_to(tmp_path) / "exp", feats)
    assert (tmp_path / "exp/feats.scp").read_text(encoding="utf-8").startswith("小明-000 exp/feats.ark:")
    for table in ("scp:exp/feats.scp", "ark:exp/feats.ark"):
        with kio.SequentialFloatMatrixReader(table) as reader:
            for utt, matrix in reader:
                np.testing.assert_array_equal(matrix, feats[utt])


def test_compressed_takes_a_quarter_and_loses_little(tmp_path):
    rng = np.random.default_rng(0)
    feats = {f"a-{index}": rng.normal(13, 4, (300, 80)).astype(np.float32) for index in range(4)}
    write_all(tmp_path / "plain", feats)
    write_all(tmp_path / "small", feats, compress=True)
    assert (tmp_path / "small/feats.ark").stat().st_size < 0.3 * (tmp_path / "plain/feats.ark").stat().st_size
    reader = archive.FeatureReader(tmp_path / "small/feats.scp")
    for utt, matrix in feats.items():
        assert reader[utt].dtype == np.float32 and reader[utt].shape == matrix.shape
        assert np.abs(reader[utt] - matrix).max() < 0.15


def test_an_error_leaves_an_earlier_run_as_it_was(tmp_path):
    write_all(tmp_path, matrices())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ZeroDivisionError), archive.feature_writer(tmp_path) as write:
        write("a", np.ones((2, 3), np.float32))
        raise ZeroDivisionError
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_an_utterance_that_is_not_there_or_cut_short_is_named(tmp_path):
    write_all(tmp_path, matrices())
    with pytest.raises(UserError, match="no utterance 小红"):
        archive.FeatureReader(tmp_path / "feats.scp")["小红"]
    whole = (tmp_path / "feats.ark").read_bytes()
    (tmp_path / "feats.ark").write_bytes(whole[:-10])  # within the last matrix
    with pytest.raises(UserError, match=r"小明-004.*run stage 3"):
        archive.FeatureReader(tmp_path / "feats.scp")


FRAMES = arrays(np.float32, st.tuples(st.integers(1, 9), st.just(4)), elements=st.floats(-20, 30, width=32))


@given(utterances=st.lists(FRAMES, min_size=1, max_size=6))
def test_cmvn_equals_numpy_over_all_frames(utterances):
    stats = archive.empty_stats(4)
    for feats in utterances:
        archive.accumulate(stats, feats)
    together = np.concatenate(utterances).astype(np.float64)
    mean, std = archive.mean_std(stats)
    assert mean.dtype == std.dtype == np.float32
    np.testing.assert_allclose(mean, together.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(std, np.maximum(together.std(axis=0), archive.MIN_STD), atol=1e-4)
    normal = archive.apply_cmvn(utterances[0], mean, std)
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal, (utterances[0] - mean) / std, rtol=1e-4)


def test_cmvn_file_is_kaldis(tmp_path):
    stats = archive.empty_stats(3)
    archive.accumulate(stats, np.array([[1, 2, 3], [3, 4, 5]], np.float32))
    archive.save_cmvn(tmp_path / "cmvn", stats)
    expected = [[4, 6, 8, 2], [10, 20, 34, 0]]
    np.testing.assert_array_equal(kio.DoubleMatrix.read(str(tmp_path / "cmvn")).numpy(), expected)
    np.testing.assert_array_equal(archive.load_cmvn(tmp_path / "cmvn"), expected)


def test_another_matrix_than_cmvn_is_refused(tmp_path):
    kio.DoubleMatrix(np.ones((3, 3))).write(str(tmp_path / "cmvn"), binary=True)
    with pytest.raises(UserError, match="not CMVN statistics"):
        archive.load_cmvn(tmp_path / "cmvn")
