"""Decoding graphs against the best of all paths of small cases; word lists; what comes out as words and syllables."""

import itertools
import math
import shutil

import kaldifst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steps.common.errors import UserError
from steps.config.schema import Pinyin
from steps.search.arpa import write_arpa
from steps.search.ctc import greedy
from steps.search.graph import UNK, UNKNOWN, WORD, Graph, GraphSearch, _lexicon_fst, build_graph, spread
from steps.search.lm import own_graph
from steps.search.ngram import Level, NGram, vocabulary
from steps.search.words import Readings, general_words, newspaper_clauses, read_own_words, readings_of

TOKENS = ["<blk>", "ma1", "shi4", "you3"]
LEXICON = [Readings("妈", {("ma1",): 0.0}), Readings("妈妈", {("ma1", "ma1"): 0.0}),
           Readings("事", {("shi4",): 0.0}), Readings("是", {("shi4",): 0.0}),
           Readings("有事", {("you3", "shi4"): -0.5, ("you3", "ma1"): -1.0})]
PROBS = {UNK: 0.01, "</s>": 0.09, "妈": 0.1, "妈妈": 0.2, "事": 0.1, "是": 0.3, "有事": 0.2}


def unigram(probs):
    words = vocabulary(probs)
    log_probs = np.array([math.log10(probs[word]) if word in probs else -99.0 for word in words])
    return NGram(words, [Level(np.zeros(len(words), np.int64), np.arange(len(words)), log_probs,
                               np.zeros(len(words)))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    write_arpa(folder / "arpa", unigram(PROBS))
    build_graph(folder, folder / "arpa", LEXICON, TOKENS)
    return folder


def cheapest_words(syllables):
    """The words that spell syllables at least cost, and the cost; unknown syllables included."""
    if not syllables:
        return -math.log(PROBS["</s>"]), []
    unknown = WORD + UNKNOWN + math.log(len(TOKENS) - 1) - math.log(PROBS[UNK])
    rest = cheapest_words(syllables[1:])
    found = [(unknown + rest[0], [syllables[0], *rest[1]])]
    for word, readings in LEXICON:
        for reading, log_prob in readings.items():
            if tuple(syllables[:len(reading)]) == reading:
                rest = cheapest_words(syllables[len(reading):])
                found.append((WORD - log_prob - math.log(PROBS[word]) + rest[0], [word, *rest[1]]))
    return min(found)


def best_of_all_paths(log_probs):
    costs = {}
    for path in itertools.product(range(len(TOKENS)), repeat=len(log_probs)):
        spelled = tuple(TOKENS[token] for token, _ in itertools.groupby(path) if token)
        cost = -log_probs[np.arange(len(path)), path].sum()
        costs[spelled] = min(costs.get(spelled, math.inf), cost)
    return min((cost + cheapest_words(spelled)[0], spelled) for spelled, cost in costs.items())


matrices = st.integers(1, 5).flatmap(
    lambda frames: arrays(np.float32, (frames, 4), elements=st.floats(-8, 0, width=32)))


@settings(max_examples=30)
@given(matrices)
def test_search_finds_the_best_of_all_paths(folder, scores):
    log_probs = (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)
    search = GraphSearch(Graph.read(folder), TOKENS, scale=1.0, beam=1000.0)
    best = search(log_probs)
    syllables = [TOKENS[one.token] for one in best.emissions]
    cost, expected = best_of_all_paths(log_probs)
    # Cost of what was found, by its own path: others may be as good.
    path = np.zeros(len(log_probs), int)
    for one in best.emissions:
        path[one.first:one.last + 1] = one.token
    kept = -log_probs[np.arange(len(path)), path].sum() + cheapest_words(syllables)[0]
    assert syllables == list(expected) or kept == pytest.approx(cost, abs=2e-2)
    assert "".join(word for word, _ in best.words) == "".join(cheapest_words(syllables)[1])


def test_no_spelling_begins_another():
    """Marks part homophones, and 妈妈 from 妈妈事: without them composing the graph does not end."""
    spelled = {"妈妈": ("ma1", "ma1"), "妈妈事": ("ma1", "ma1", "shi4"), "事": ("shi4",), "是": ("shi4",)}
    labels = {word: number for number, word in enumerate([*spelled, "#0"], 1)}
    fst, _ = _lexicon_fst([(*item, 0.0) for item in spelled.items()], labels, {"ma1": 1, "shi4": 2}, unknown=False)

    def chains(state):
        for arc in kaldifst.ArcIterator(fst, state):
            for rest in chains(arc.nextstate) if arc.nextstate else [()]:
                yield arc.ilabel, *rest

    found = sorted(chains(0))
    assert len(found) == len(labels)
    assert not any(longer[:len(chain)] == chain for chain, longer in itertools.pairwise(found))


def certain(*tokens):
    """Frames that are sure of their token."""
    return np.log(np.eye(4, dtype=np.float32)[list(tokens)] + 1e-6)


def test_words_and_syllables_come_out(folder):
    search = GraphSearch(Graph.read(folder), TOKENS, scale=1.0)
    best = search(certain(0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0, 1, 0, 3, 1))
    assert best.words == [("是", 1), ("妈妈", 2), ("有事", 2)]
    assert [(one.token, one.first, one.last) for one in best.emissions] == \
           [(2, 3, 4), (1, 9, 9), (1, 11, 11), (3, 13, 13), (1, 14, 14)]
    assert [one[:3] for one in best.emissions] == \
           [one[:3] for one in greedy(certain(0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0, 1, 0, 3, 1))]
    assert search(certain(1, 0, 3)).words == [("妈", 1), ("you3", 1)]  # no word is read you3
    assert search(np.zeros((0, 4), np.float32)).words == []


def test_files_of_a_graph_that_do_not_belong_together(folder, tmp_path):
    """Without a list of checksums, as of older versions."""
    build_graph(tmp_path, folder / "arpa", LEXICON[:1], TOKENS)
    (tmp_path / "SHA256SUMS").unlink()
    shutil.copy(folder / "graph.fst", tmp_path)
    with pytest.raises(UserError, match="other words than words"):
        GraphSearch(Graph.read(tmp_path), TOKENS, scale=1.0)(certain(0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0, 1, 0, 3, 1))
    (tmp_path / "lexicon.txt").write_text("")
    with pytest.raises(UserError, match="not a whole graph"):
        Graph.read(tmp_path)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_dropping_sure_blanks_changes_nothing(folder, path):
    search = GraphSearch(Graph.read(folder), TOKENS, scale=1.0)
    spread_out = [token for one in path for token in ((0,) * 4 if one == 0 else (one,))]
    few, many = search(certain(*path)), search(certain(*spread_out))
    assert few.words == many.words and [one.token for one in few.emissions] == [one.token for one in many.emissions]


def test_graph_without_ctc_reads_a_syllable_a_frame(folder, tmp_path, capfd):
    build_graph(tmp_path, folder / "arpa", LEXICON, TOKENS, ctc=False)
    assert "left out" not in capfd.readouterr().err
    build_graph(tmp_path, folder / "arpa", [*LEXICON, Readings("猫", {("mao1",): 0.0})], TOKENS, ctc=False)
    assert "1 of 6 words are left out, such as 猫" in capfd.readouterr().err
    search = GraphSearch(Graph.read(tmp_path), TOKENS, scale=1.0)
    assert [word for word, _ in search(certain(1, 1, 2, 3, 2)).words] == ["妈妈", "是", "有事"]


def test_own_list_gives_nothing_but_its_words(tmp_path):
    (tmp_path / "mine").write_text("有事\n是\n", encoding="utf-8")
    own_graph(tmp_path / "mine", tmp_path / "graph", TOKENS, Pinyin())
    search = GraphSearch(Graph.read(tmp_path / "graph"), TOKENS, scale=1.0)
    assert search(certain(0, 3, 0, 2, 0, 2)).words == [("有事", 2), ("是", 1)]
    unsure = np.log(np.array([[1e-4, 0.1, 0.1, 0.8]], np.float32))
    assert search(unsure).words == [("是", 1)]  # you3 is likelier, but no word is read so
    (tmp_path / "mine").write_text("人\n", encoding="utf-8")
    with pytest.raises(UserError, match="mine: each of its words has a syllable that the network does not know"):
        own_graph(tmp_path / "mine", tmp_path / "graph", TOKENS, Pinyin())


def test_spread_follows_the_reading():
    readings = {"WiFi": {("wai1", "fei1"), ("wai1", "fei1", "a5")}, "好": {("hao3",)}}
    syllables = ["wai1", "fei1", "a5", "you3", "hao3"]
    assert spread(syllables, ["WiFi", UNK, "好"], readings) == [("WiFi", 3), ("you3", 1), ("好", 1)]


def test_general_words_are_read(tmp_path):
    general = general_words()
    assert len(general) > 300000 and general["我们"] > general["雾凇"] > 0
    few = {word: general[word] for word in ("中国", "行", "银行", "自行车", "一直", "得", "记得")}
    readings = {word: set(found) for word, found in readings_of(few)}
    assert readings["中国"] == {("zhong1", "guo2")}
    assert readings["一直"] == {("yi1", "zhi2"), ("yi4", "zhi2")}
    assert {("xing2",), ("hang2",)} <= readings["行"] and ("de5",) in readings["得"]


def test_newspaper_is_read():
    clauses = newspaper_clauses()
    assert clauses[0] == ["迈向", "充满", "希望", "的", "新", "世纪"] and len(clauses) > 170000


def test_own_words(tmp_path):
    path = tmp_path / "my_words.txt"
    path.write_text("# commands\n开灯\n行长 hang2 zhang3 250\n行长 xing2 zhang3\nWiFi wai1 fei1  # Latin\n",
                    encoding="utf-8")
    own = read_own_words(path)
    assert own.counts == {"开灯": 10000, "行长": 25000, "WiFi": 10000}
    assert own.readings == {"行长": {("hang2", "zhang3"), ("xing2", "zhang3")}, "WiFi": {("wai1", "fei1")}}
    read = {word: set(found) for word, found in readings_of(own.counts, own=own.readings)}
    assert read == {"开灯": {("kai1", "deng1")}, **own.readings}
