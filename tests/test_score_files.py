"""Stage 6: Kaldi's files parsed back, score.json, and what scoring refuses."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_experiment import REFERENCE, make_experiment, run_script

from steps import stage5_decode as decode
from steps import stage6_score as score
from steps.common.errors import UserError
from steps.corpus.table import write_table
from steps.report.errors import count, edit_alignment, total
from steps.report.scores import (
    confusion_lines,
    ops_lines,
    per_spk_counts,
    per_spk_lines,
    per_utt_lines,
    read_per_utt,
    wer_lines,
)

utterances = st.lists(st.lists(st.sampled_from(["ma1", "ma3", "shi4", "zhong1"]), min_size=1, max_size=6),
                      min_size=1, max_size=5)


@pytest.fixture
def exp_dir(monkeypatch, tmp_path):
    exp_dir = make_experiment(monkeypatch, tmp_path)
    run_script(monkeypatch, decode, str(exp_dir), "test")
    return exp_dir


@pytest.fixture
def scored(monkeypatch, exp_dir):
    run_script(monkeypatch, score, str(exp_dir), "test")
    return exp_dir / "score/test_greedy"


def test_wer_has_kaldis_two_lines(scored):
    # amy-2 has an insertion, bob-1 a substitution, bob-2 four deletions
    assert (scored / "wer").read_text() == "%WER 66.67 [ 6 / 9, 1 ins, 4 del, 1 sub ]\n%SER 75.00 [ 3 / 4 ]\n" \
        "Scored 4 sentences, 0 not present in hyp.\n"


def test_score_json(scored, exp_dir):
    scores = json.loads((scored / "score.json").read_text())
    decoding = json.loads((exp_dir / "decode/test_greedy/decode.json").read_text())
    expected = {"set": "test", "method": "greedy", "utterances": 4, "ref_tokens": 9, "ins": 1, "del": 4, "sub": 1,
                "syllable_error_rate": 6 / 9, "toneless_error_rate": 6 / 9, "tone_error_rate": 0.0, "tone_tokens": 4,
                "sentence_error_rate": 3 / 4, "skipped": 0, "real_time_factor": decoding["real_time_factor"],
                "ref_hash": hashlib.sha256(Path("data/toy/test/pinyin").read_bytes()).hexdigest(),
                "tokens_hash": decoding["tokens_hash"], "checkpoint_hash": decoding["checkpoint_hash"]}
    assert {key: scores[key] for key in expected} == expected
    low, high = scores["ci95"]
    assert 0 <= low < 6 / 9 < high


def test_per_utt_is_aligned_in_columns(scored):
    lines = (scored / "per_utt").read_text().splitlines()
    assert len(lines) == 4 * len(REFERENCE)
    ref, hyp, operations, csid = lines[4:8]
    assert (operations.split(), csid) == (["amy-2", "op", "C", "I", "C"], "amy-2 #csid 2 0 1 0")
    assert len(ref) == len(hyp) == len(operations)
    assert lines[8:12] == ["bob-1 ref  shi4", "bob-1 hyp  si4 ", "bob-1 op    S  ", "bob-1 #csid 0 1 0 0"]


@given(utterances, utterances)
def test_per_utt_reads_back(tmp_path_factory, refs, hyps):
    pairs = enumerate(zip(refs, hyps, strict=False))
    alignments = {f"u{number}": edit_alignment(ref, hyp) for number, (ref, hyp) in pairs}
    path = tmp_path_factory.getbasetemp() / "per_utt"
    path.write_text("\n".join(per_utt_lines(alignments)))
    assert read_per_utt(path) == alignments
    written = re.findall(r"(\S+) #csid (\d+) (\d+) (\d+) (\d+)", path.read_text())
    assert {utt: tuple(map(int, numbers)) for utt, *numbers in written} == {
        utt: tuple(count(pairs)) for utt, pairs in alignments.items()}


def test_per_spk_is_as_kaldis_documentation_has_it():
    alignments = {"utt": [("w", "w")] * 3 + [("v", "x"), ("<eps>", "y"), ("z", "<eps>")]}
    assert per_spk_lines(per_spk_counts(alignments, {"utt": "A"})) == [
        "SPEAKER         id       #SENT      #WORD       Corr        Sub        Ins        Del        Err      S.Err",
        "A               raw          1          5          3          1          1          1          3          1",
        "A               sys          1          5      60.00      20.00      20.00      20.00      60.00     100.00",
        "SUM             raw          1          5          3          1          1          1          3          1",
        "SUM             sys          1          5      60.00      20.00      20.00      20.00      60.00     100.00",
    ]


@given(utterances, utterances)
def test_files_agree_with_each_other(refs, hyps):
    pairs = enumerate(zip(refs, hyps, strict=False))
    alignments = {f"u{number}": edit_alignment(ref, hyp) for number, (ref, hyp) in pairs}
    counts = total(count(pairs) for pairs in alignments.values())
    operations = [line.split() for line in ops_lines(alignments)]
    by_kind = {kind: sum(int(line[3]) for line in operations if line[0] == kind)
               for kind in ("correct", "substitution", "insertion", "deletion")}
    assert tuple(by_kind.values()) == tuple(counts)
    confusions = [line.split() for line in confusion_lines(alignments)]
    numbers = [int(line[2]) for line in confusions]
    assert sum(numbers) == counts.substitutions and numbers == sorted(numbers, reverse=True)
    spoken = {utt: f"spk{number % 2}" for number, utt in enumerate(alignments)}
    summed = per_spk_lines(per_spk_counts(alignments, spoken))[-2].split()
    assert summed[:4] == ["SUM", "raw", str(len(alignments)), str(counts.ref_tokens)]
    assert list(map(int, summed[4:9])) == [*counts, counts.errors]


def test_confusion_says_what_is_wrong():
    alignments = {"a": [("ma1", "ma3"), ("ma1", "ma3"), ("shi4", "si4"), ("shi4", "sha1"), ("ni3", "<eps>")]}
    assert confusion_lines(alignments) == ["ma1 ma3 2 tone", "shi4 sha1 1 both", "shi4 si4 1 base"]


def test_wer_of_nothing_decoded():
    assert wer_lines(count([("ma1", "<eps>")]), 1, 1, 0)[0] == "%WER 100.00 [ 1 / 1, 0 ins, 1 del, 0 sub ]"


def test_utterance_that_stage_3_skipped_is_left_out_and_counted(monkeypatch, exp_dir):
    Path("exp/features/toy_fbank/test/skipped").write_text("bob-3 bob-3.wav: no samples\n")
    write_table("data/toy/test/pinyin", {**REFERENCE, "bob-3": "ni3"})
    run_script(monkeypatch, decode, str(exp_dir), "test")
    run_script(monkeypatch, score, str(exp_dir), "test")
    scores = json.loads((exp_dir / "score/test_greedy/score.json").read_text())
    assert (scores["utterances"], scores["skipped"]) == (4, 1)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("data/toy/test/pinyin", "amy-1 ni3 hao3\namy-2\n", "amy-2: no value after the key"),
    ("data/toy/test/pinyin", None, r"pinyin: no such file; run stage 2 \(lexicon\) first"),
    ("exp/small/decode/test_greedy/decode.json", None, r"run stage 5 \(decode\) first"),
    ("exp/small/decode/test_greedy/pinyin", "amy-1 ni3\n\n", "pinyin:2: an empty line"),
])
def test_refusals_leave_the_score_as_it_was(monkeypatch, exp_dir, scored, name, content, said):
    before = {path: path.read_bytes() for path in scored.iterdir()}
    Path(name).unlink()
    if content is not None:
        Path(name).write_text(content)
    if "decode" in name:
        with pytest.raises(UserError, match=r"run stage 5 \(decode\) again"):
            run_script(monkeypatch, score, str(exp_dir), "test")
        Path("exp/small/decode/test_greedy/SHA256SUMS").unlink()
    with pytest.raises(UserError, match=said):
        run_script(monkeypatch, score, str(exp_dir), "test")
    assert before == {path: path.read_bytes() for path in scored.iterdir()}
