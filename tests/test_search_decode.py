"""Stage 5 over a small experiment whose network hears what its features say."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_experiment import HearingModel, make_experiment, run_script, write_features

from steps import stage5_decode as decode
from steps import stage6_score
from steps.common.errors import UserError
from steps.config.load import load_resolved
from steps.corpus.table import write_table
from steps.feats.archive import FeatureReader
from steps.feats.audio import read_audio
from steps.feats.compute import compute_feats
from steps.search.alignment import read_ctm


@pytest.fixture
def exp_dir(monkeypatch, tmp_path):
    return make_experiment(monkeypatch, tmp_path)


@pytest.mark.parametrize("long_s", [60.0, 0.0])
def test_decode_writes_pinyin_and_ctm(monkeypatch, exp_dir, long_s):
    monkeypatch.setattr("steps.search.decode.LONG_S", long_s)  # from which on an utterance is heard in parts
    run_script(monkeypatch, decode, str(exp_dir), "test")
    out_dir = exp_dir / "decode/test_greedy"
    assert (out_dir / "pinyin").read_text().splitlines() == [
        "amy-1 ni3 hao3", "amy-2 zhong1 zhong1 guo2", "bob-1 si4", "bob-2"]
    times = read_ctm(out_dir / "ctm")
    assert {utt: [one.syllable for one in found] for utt, found in times.items()} == {
        "amy-1": ["ni3", "hao3"], "amy-2": ["zhong1", "zhong1", "guo2"], "bob-1": ["si4"]}
    for found in times.values():  # from the voice's onset to its offset, whatever the length of the spikes
        assert [one.begin + one.duration for one in found[:-1]] == pytest.approx([one.begin for one in found[1:]])
    assert {one.confidence for found in times.values() for one in found} == {round(1.01 / 1.06, 3)}


def test_decode_json_holds_sizes_times_and_hashes(monkeypatch, exp_dir):
    Path("exp/features/toy_fbank/test/skipped").write_text("bob-9 data/bob-9.wav: no samples\n")
    run_script(monkeypatch, decode, str(exp_dir), "test", "--method", "greedy")
    facts = json.loads((exp_dir / "decode/test_greedy/decode.json").read_text())
    assert (facts["set"], facts["method"], facts["utterances"], facts["skipped"]) == ("test", "greedy", 4, ["bob-9"])
    assert (facts["frames"], facts["audio_seconds"]) == (15, pytest.approx(0.15))
    assert facts["real_time_factor"] == pytest.approx(facts["seconds"] / 0.15) and facts["seconds"] > 0
    assert facts["checkpoint_hash"] == hashlib.sha256(b"weights\n").hexdigest()
    assert facts["tokens_hash"] == hashlib.sha256((exp_dir / "tokens.txt").read_bytes()).hexdigest()


@pytest.mark.parametrize("named", ["other/test", "data/other/test", "data/other/test/"])
def test_a_set_of_another_corpus_is_heard_as_the_model_was_trained(monkeypatch, exp_dir, named):
    """Its features are made by the experiment's own config; decoding and scores lie beside those of its own sets."""
    monkeypatch.setenv("YINJIE_NJ", "1")
    soundfile.write("noise.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 16000)
    write_table(Path("data/other/test/wav.scp"), {"cem-1": "noise.wav", "cem-2": "noise.wav"})
    write_table(Path("data/other/test/utt2spk"), {"cem-1": "cem", "cem-2": "cem"})
    write_table(Path("data/other/test/pinyin"), {"cem-1": "ni3 hao3", "cem-2": "si4"})
    run_script(monkeypatch, decode, str(exp_dir), named)
    config = load_resolved(exp_dir)
    np.testing.assert_array_equal(FeatureReader(exp_dir / "feats/other.test/feats.scp")["cem-1"],
                                  compute_feats(read_audio("noise.wav", 16000), config.features))
    assert json.loads((exp_dir / "decode/other.test_greedy/decode.json").read_text())["set"] == "other/test"
    run_script(monkeypatch, stage6_score, str(exp_dir), named)
    scores = json.loads((exp_dir / "score/other.test_greedy/score.json").read_text())
    assert (scores["set"], scores["utterances"], scores["ref_tokens"]) == ("other/test", 2, 3)


@pytest.mark.parametrize(("part", "said"), [
    ("dev", r"toy_fbank/dev/feats.scp: no such file; run stage 3"), ("test", r"final.ckpt: no such file; run stage 4")])
def test_what_an_earlier_stage_has_not_made(monkeypatch, exp_dir, part, said):
    if part == "test":
        (exp_dir / "final.ckpt").unlink()
    with pytest.raises(UserError, match=said):
        run_script(monkeypatch, decode, str(exp_dir), part)


def test_failed_decoding_leaves_the_earlier_result(monkeypatch, exp_dir):
    run_script(monkeypatch, decode, str(exp_dir), "test")
    earlier = {path: path.read_bytes() for path in (exp_dir / "decode/test_greedy").iterdir()}

    def log_probs(self, utts):
        for utt, feats in utts:
            yield utt, np.full_like(feats, np.nan)

    monkeypatch.setattr(HearingModel, "log_probs", log_probs)
    with pytest.raises(UserError, match="utterance amy-1: the network's output is not a number"):
        run_script(monkeypatch, decode, str(exp_dir), "test")
    assert earlier == {path: path.read_bytes() for path in (exp_dir / "decode/test_greedy").iterdir()}


def test_lost_utterances_are_a_bug_of_ours(monkeypatch, exp_dir):
    monkeypatch.setattr(HearingModel, "log_probs", lambda self, utts: iter(list(utts)[1:]))
    with pytest.raises(RuntimeError, match="4 utterances went into the network, 3 came out"):
        run_script(monkeypatch, decode, str(exp_dir), "test")


def test_only_blanks_are_said(monkeypatch, exp_dir, capsys):
    write_features(Path("exp/features/toy_fbank/test"), {"amy-1": "<blk> <blk>"})
    run_script(monkeypatch, decode, str(exp_dir), "test")
    assert "only emits blanks" in capsys.readouterr().out
    assert (exp_dir / "decode/test_greedy/ctm").read_text() == ""
