"""Graph, tuning, decoding and scoring by prefix and wfst, over a small experiment whose network hears its features."""

import json
from pathlib import Path

import pytest
from small_experiment import HEARD, REFERENCE, TEXT, make_experiment, run_script, write_features

from steps import make_graph, stage5_decode, stage6_score, tune
from steps.common.errors import UserError
from steps.common.files import write_lines
from steps.config.load import dump, load_resolved
from steps.config.schema import Lm
from steps.corpus.table import write_table
from steps.report.scores import character_rates
from steps.search.ctc import Emission
from steps.search.decode import best_path, chosen_weights, make_search
from steps.search.graph import Best
from steps.search.lm import random_text, syllable_lm, unigram, word_lm
from steps.search.ngram import fit, over, perplexity, vocabulary
from steps.search.words import Readings

GENERAL = {"你好": 900, "中国": 800, "好": 300, "你": 400, "四": 90, "死": 10, "中": 70, "国": 60}


@pytest.fixture
def exp_dir(monkeypatch, tmp_path):
    exp_dir = make_experiment(monkeypatch, tmp_path)
    for part in ("train", "dev"):
        write_table(Path("data/toy") / part / "pinyin", REFERENCE)
        write_table(Path("data/toy") / part / "text", TEXT)
        write_features(Path("exp/features/toy_fbank") / part, HEARD)
    monkeypatch.setattr("steps.search.words.general_words", lambda: GENERAL)
    monkeypatch.setattr("steps.search.lm.newspaper_clauses", lambda: [["你好", "中国"]])
    monkeypatch.setattr("steps.search.lm.SAMPLE", 2000)
    grids = {"prefix": {"weight": (0.1, 0.5), "insertion": (0.0,)}, "wfst": {"scale": (1.0,), "blank_penalty": (0.0,)}}
    monkeypatch.setattr(tune, "GRIDS", grids)
    return exp_dir


def with_lm(exp_dir, **lm):
    """The experiment's config with all methods, and its graph's folder and tokens."""
    config = load_resolved(exp_dir)
    decode = config.experiment.decode.model_copy(update={"methods": ["greedy", "prefix", "wfst"], "lm": Lm(**lm)})
    tokens = [line.split()[0] for line in (exp_dir / "tokens.txt").read_text().splitlines()]
    return config.model_copy(update={"experiment": config.experiment.model_copy(update={"decode": decode})}), tokens


def test_all_methods_from_graph_to_score(monkeypatch, exp_dir, capsys):
    for name, word in (("words", "好"), ("syllables", "hao3")):
        Path(f"{name}.arpa").write_text(f"\\1-grams:\n-1 <unk>\n-99 <s>\n-0.3 </s>\n-0.4 {word}\n\n\\end\\\n")
    config, tokens = with_lm(exp_dir, order=2, arpa=["words.arpa", "syllables.arpa"])
    make_graph.make_graph(config, exp_dir / "graph", tokens)
    facts = json.loads((exp_dir / "graph/lm.json").read_text())
    assert list(facts["words"]["weights"]) == ["words", "train", "newspaper", "words.arpa"]
    assert list(facts["syllables"]["weights"])[-2:] == ["train", "syllables.arpa"]
    perplexity, unknown = facts["words"]["dev_perplexity"], facts["words"]["dev_unknown"]
    assert perplexity["newspaper"] < 100 and 0 < unknown["newspaper"] < 1  # it knows 你好 and 中国 alone
    assert unknown["mixed"] == unknown["train"] == 0 and perplexity["mixed"] <= perplexity["train"] + 1e-6
    run_script(monkeypatch, tune, str(exp_dir), "prefix", "wfst")
    tuning = json.loads((exp_dir / "decode/tuning.json").read_text())
    assert len(tuning["prefix"]["grid"]) == 2 and tuning["wfst"]["best"]["scale"] == 1.0
    for method in ("greedy", "prefix", "wfst"):
        run_script(monkeypatch, stage5_decode, str(exp_dir), "test", "--method", method)
        run_script(monkeypatch, stage6_score, str(exp_dir), "test", "--method", method)
        scores = json.loads((exp_dir / f"score/test_{method}/score.json").read_text())
        assert scores["method"] == method
        assert ("character_error_rate" in scores) == (method == "wfst")
    found = exp_dir / "decode/test_wfst"
    assert (found / "text").read_text(encoding="utf-8").splitlines()[0] == "amy-1 你好"
    assert (found / "pinyin").read_text().splitlines()[0] == "amy-1 ni3 hao3"
    assert (found / "ctm_words").read_text(encoding="utf-8").splitlines()[0].split()[4] == "你好"
    assert (exp_dir / "decode/test_prefix/pinyin").read_text().splitlines()[0] == "amy-1 ni3 hao3"
    note = exp_dir / "graph/lm.json"
    note.write_text(note.read_text().replace("tokens_sha256", "tokens_sha257"))  # it would be taken for an old one
    with pytest.raises(UserError, match=r"lm\.json: is not as it was written"):
        make_search(exp_dir / "graph", "prefix", tokens, {"weight": 0.1, "insertion": 0.0})


def test_a_method_that_does_not_pay_is_told(monkeypatch, exp_dir, capsys):
    config, tokens = with_lm(exp_dir, text=[], order=2)
    make_graph.make_graph(config, exp_dir / "graph", tokens)
    monkeypatch.setattr(tune, "GRIDS", {"prefix": {"weight": (0.0,), "insertion": (-99.0,)}})
    run_script(monkeypatch, tune, str(exp_dir), "prefix")
    assert "WARNING: prefix is no better than greedy" in capsys.readouterr().out
    assert json.loads((exp_dir / "decode/tuning.json").read_text())["prefix"]["pays"] is False


def test_a_set_that_names_its_corpus_has_weights_of_its_own(monkeypatch, exp_dir):
    config = load_resolved(exp_dir)
    corpora = {"words": ["train", "dev"], "sentences": ["train", "dev"], "more": ["train"]}
    corpus = config.corpus.model_copy(update={"options": {"corpora": corpora}})
    write_lines(exp_dir / "config.yaml", [dump(config.model_copy(update={"corpus": corpus}))])
    write_table(Path("data/toy/dev/pinyin"), {utt: "hao3" for utt in REFERENCE} | {"amy-1": REFERENCE["amy-1"]})
    write_table(Path("data/sentences/dev/utt2spk"), {"amy-1": "amy"})
    write_table(Path("data/words/dev/utt2spk"), {utt: "bob" for utt in REFERENCE if utt != "amy-1"})
    hao3 = Best([Emission(2, 0, 0, 1.0)], [])
    monkeypatch.setattr(tune, "GRIDS", {"prefix": {"weight": (1.0, 2.0), "insertion": (0.0,)}})
    monkeypatch.setattr(tune, "make_search", lambda folder, method, tokens, point:
                        best_path if point["weight"] == 1 else lambda log_probs: hao3)
    run_script(monkeypatch, tune, str(exp_dir), "prefix")
    chosen = {part: chosen_weights(exp_dir, "prefix", part)["weight"]
              for part in ("sentences/test", "words/test", "test", "more/test")}
    assert chosen == {"sentences/test": 1.0, "words/test": 2.0, "test": 2.0, "more/test": 2.0}


def test_a_model_over_other_words_is_refused(exp_dir):
    Path("english.arpa").write_text("\\1-grams:\n-1 <unk>\n-99 <s>\n-0.3 </s>\n-0.4 hello\n\n\\end\\\n")
    config, tokens = with_lm(exp_dir, arpa=["english.arpa"])
    with pytest.raises(UserError, match=r"english.arpa: none of its words is hanzi or a syllable"):
        make_graph.make_graph(config, exp_dir / "graph", tokens)


def test_words_of_ones_own_on_the_command_line(monkeypatch, exp_dir):
    Path("mine.txt").write_text("妮好 ni3 hao3\n中国\n", encoding="utf-8")
    run_script(monkeypatch, stage5_decode, str(exp_dir), "test", "--words", "mine.txt")
    run_script(monkeypatch, stage6_score, str(exp_dir), "test", "--method", "wfst+mine")
    lines = (exp_dir / "decode/test_wfst+mine/text").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "amy-1 妮好" and "中国" in lines[1]
    assert json.loads((exp_dir / "score/test_wfst+mine/score.json").read_text())["homophone_error_rate"] < \
           json.loads((exp_dir / "score/test_wfst+mine/score.json").read_text())["character_error_rate"]


def test_character_rates_forgive_homophones():
    texts = {"a": "他是人。", "b": "ni3 hao3", "c": "用 WiFi 的"}
    refs = {"a": ["ta1", "shi4", "ren2"], "b": ["ni3", "hao3"], "c": ["yong4", "wai4", "fei1", "de5"]}
    hyps = {"a": ["ta1", "shi4", "ren4"], "b": ["ni3"], "c": ["yong4", "wai4", "fei1", "de5"]}
    written = {"a": "她 是 认", "b": "你", "c": "用 wifi de5"}
    assert character_rates(texts, refs, written, hyps) == {
        "ref_characters": 6, "character_error_rate": 3 / 6, "homophone_error_rate": 2 / 6}
    assert character_rates({"b": "ni3 hao3"}, refs, written, hyps) == {}


LEXICON = [Readings("中国", {("zhong1", "guo2"): 0.0}), Readings("好", {("hao3",): 0.0, ("hao4",): -1.0})]


def test_fit_leaves_out_what_a_model_does_not_know():
    model = over(unigram(vocabulary(["好", "中国"]), {"好": 3, "中国": 1}, 3.0), vocabulary(["好", "中国", "无"]))
    known = fit(model, [["好", "中国"]])
    assert known == (pytest.approx(perplexity(model, [["好", "中国"]])), 0)
    assert fit(model, [["好", "无", "中国", "什么"]]) == (pytest.approx(known.perplexity), 1 / 2)
    assert perplexity(model, [["好", "无", "中国", "什么"]]) > 1e6


def test_random_text_has_the_words_shares_and_the_sentences_length(monkeypatch):
    monkeypatch.setattr("steps.search.lm.SAMPLE", 4000)
    text = random_text(LEXICON, {"中国": 300, "好": 100}, ["zhong1", "guo2", "hao3"], 4.0, 1.0)
    words = [syllable for line in text for syllable in line if syllable != "guo2"]
    assert set(words) == {"zhong1", "hao3"}  # hao4 is not a token
    assert words.count("zhong1") / len(words) == pytest.approx(300 / (300 + 100 / (1 + 0.368)), abs=0.03)
    assert len(words) / len(text) == pytest.approx(4, rel=0.1)
    assert text == random_text(LEXICON, {"中国": 300, "好": 100}, ["zhong1", "guo2", "hao3"], 4.0, 1.0)


def test_dev_weighs_the_sources(monkeypatch):
    monkeypatch.setattr("steps.search.lm.SAMPLE", 2000)
    text = [["hao3", "hao3", "hao3"]] * 50
    tokens, counts = ["zhong1", "guo2", "hao3"], {"中国": 300, "好": 100}
    like_text, like_words = (syllable_lm(tokens, LEXICON, counts, {"text": text}, dev, 4.0, 2)
                             for dev in (text[:9], [["zhong1", "guo2"]] * 9))
    assert like_text.weights["text"] > 0.9 and like_words.weights["text"] < 0.1
    assert perplexity(like_text.model, text) < perplexity(like_words.model, text)
    pruned = syllable_lm(tokens, LEXICON, counts, {"text": text}, text[:9], 4.0, 2, prune=0.5)
    assert sum(pruned.model.sizes()) < sum(like_text.model.sizes())
    assert pruned.fits["mixed"] == (perplexity(pruned.model, text[:9]), 0)
    alone = word_lm(LEXICON, {}, {"text": [["好", "好"], ["无"]]}, [], 2)
    assert alone.model.sizes()[1] == 3  # <s> 好, 好 好, 好 </s>: nothing beside 无, which is <unk>
    assert alone.weights == {"text": 1.0} and alone.fits == {}


def test_unigram_is_a_distribution():
    words = vocabulary(["中国", "好"])
    probs = 10 ** unigram(words, {"中国": 3, "好": 1}, 3.0).levels[0].log_prob
    assert probs.sum() == pytest.approx(1) and probs[2] == pytest.approx(0.25)
    assert probs[words.index("中国")] == pytest.approx(3 * probs[words.index("好")])
