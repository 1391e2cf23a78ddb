"""N-gram models: against Kneser-Ney written out with dictionaries, and against KenLM, which reads our ARPA files."""

import itertools
import os
from collections import Counter, defaultdict
from pathlib import Path

import kenlm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.common.errors import UserError
from steps.search.arpa import read_arpa, read_trie, write_arpa
from steps.search.lm import _discounts, _matters, estimate, prune_by_entropy, read_model, without_unknown
from steps.search.ngram import UNK, NGram, best_weights, cut, mix, over, perplexity, vocabulary, windows_in, windows_of

WORDS = list("abcdef")
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=7), min_size=1, max_size=30)


def random_text(sentences, seed=1, words=WORDS):
    """Sentences in which words depend on the one before."""
    draw = np.random.default_rng(seed)
    table = draw.dirichlet(np.full(len(words), 0.3), len(words))
    found = []
    for _ in range(sentences):
        word, line = 0, []
        for _ in range(draw.integers(1, 12)):
            word = draw.choice(len(words), p=table[word])
            line.append(words[word])
        found.append(line)
    return found


def plain_kneser_ney(sentences, words, order):
    """P(word | history) by the textbook, as a function of (history…, word)."""
    occurs = [Counter() for _ in range(order + 1)]
    for sentence in sentences:
        line = ["<s>", *sentence, "</s>"]
        for n in range(1, order + 1):
            occurs[n].update(tuple(line[at:at + n]) for at in range(len(line) - n + 1))
    before = defaultdict(set)
    for n in range(2, order + 1):
        for gram in occurs[n]:
            before[gram[1:]].add(gram[0])
    counts = {n: {gram: times if n == order or gram[0] == "<s>" else len(before[gram])
                  for gram, times in occurs[n].items() if gram != ("<s>",)} for n in range(1, order + 1)}
    cuts = {n: _discounts(np.array(list(counts[n].values()))) for n in counts}

    def prob(gram):
        if not gram:
            return 1 / (len(words) - 1)
        n, history = len(gram), gram[:-1]
        behind = {other: times for other, times in counts[n].items() if other[:-1] == history}
        if not behind:
            return prob(gram[1:])
        total = sum(behind.values())
        left = sum(cuts[n][min(times, 3)] for times in behind.values())
        times = behind.get(gram, 0)
        return (times - cuts[n][min(times, 3)] + left * prob(gram[1:])) / total

    return prob


@settings(max_examples=25)
@given(texts, st.integers(1, 4))
def test_estimate_is_the_textbook(sentences, order):
    words = vocabulary(WORDS)
    model = estimate(sentences, words, order)
    prob = plain_kneser_ney(sentences, words, order)
    histories = {tuple(line[max(0, end - order + 1):end]) for sentence in sentences
                 for line in [["<s>", *sentence]] for end in range(1, len(line) + 1)}
    for history in sorted(histories)[:8]:
        grams = [(*history, word) for word in words if word != "<s>"]
        ids = [[words.index(word) for word in gram[-order:]] for gram in grams]
        windows = np.array([[-1] * (order - len(one)) + one for one in ids])
        ours = 10 ** model.log10_probs(windows)
        np.testing.assert_allclose(ours, [prob(gram[-order:]) for gram in grams], rtol=1e-9)
        assert ours.sum() == pytest.approx(1)


def test_discounts_are_those_of_chen_and_goodman():
    counts = np.repeat([1, 2, 3, 4], [40, 20, 10, 5])
    y = 40 / (40 + 2 * 20)
    np.testing.assert_allclose(_discounts(counts), [0, 1 - 2 * y * 20 / 40, 2 - 3 * y * 10 / 20, 3 - 4 * y * 5 / 10])


def kenlm_score(path, sentences):
    model = kenlm.Model(str(path))
    return [model.score(" ".join(sentence)) for sentence in sentences]


def our_scores(model, sentences):
    return [model.log10_probs(windows_of([sentence], model.words, model.order)).sum() for sentence in sentences]


@pytest.mark.parametrize("order", [2, 3, 5])
def test_kenlm_reads_the_same_probabilities(tmp_path, order):
    text, heldout = random_text(200), [*random_text(50, seed=2), ["a", "unknown", "b"], []]
    full = estimate(text, vocabulary(WORDS), order)
    few = estimate(text[:20], vocabulary(WORDS), order)
    models = {"full": full, "entropy": prune_by_entropy(full, 1e-3), "mixed": mix([full, few], [0.3, 0.7])}
    for name, model in models.items():
        write_arpa(tmp_path / "arpa", model)
        np.testing.assert_allclose(our_scores(model, heldout), kenlm_score(tmp_path / "arpa", heldout), rtol=1e-5,
                                   err_msg=name)
        known = heldout[:50]
        read = read_arpa(tmp_path / "arpa")
        np.testing.assert_allclose(our_scores(read, known), our_scores(model, known), rtol=1e-5)
        assert kenlm.Model(str(tmp_path / "arpa")).perplexity(" ".join(known[0])) == pytest.approx(
            perplexity(model, known[:1]), rel=1e-4)


def sums(model: NGram):
    """The sum of P(word | history) for every history that has a backoff weight, and for none."""
    size = len(model.words)
    grams = itertools.product(range(1, size), repeat=model.order - 1)
    windows = np.array([[*history, word] for history in grams for word in range(size) if word != 1])
    return (10 ** model.log10_probs(windows)).reshape(-1, size - 1).sum(axis=1)


def test_pruned_and_mixed_models_are_distributions():
    words, text = vocabulary("abcd"), random_text(60, words="abcd")
    full = estimate(text, words, 3)
    for model in (full, prune_by_entropy(full, 1e-2),
                  mix([full, estimate(text[:5], words, 2)], [0.5, 0.5])):
        np.testing.assert_allclose(sums(model), 1, rtol=1e-9)


def test_nothing_stands_beside_unknown():
    model = without_unknown(estimate(random_text(60, words="abcd"), vocabulary("abc"), 3))
    assert model.order == 3 and all((windows_in(model, n) != UNK).all() for n in (2, 3))
    np.testing.assert_allclose(sums(model), 1, rtol=1e-9)


def test_entropy_lost_is_the_divergence_between_the_models():
    words, text = vocabulary("abcd"), random_text(60, words="abcd")
    full = estimate(text, words, 2)
    everything = np.array([[history, word] for history in range(1, 7) for word in range(7) if word != 1])
    probs = 10 ** full.log10_probs(everything)
    history_probs = 10 ** full.levels[0].log_prob
    history_probs[1] = history_probs[2]
    for gram in range(full.sizes()[1]):
        keep = np.arange(full.sizes()[1]) != gram
        other = 10 ** cut(full, [keep]).log10_probs(everything)
        divergence = (history_probs[everything[:, 0]] * probs * np.log(probs / other)).sum()
        lost = np.expm1(divergence)
        assert _matters(full, 2, lost * 0.999)[gram] and not _matters(full, 2, lost * 1.001)[gram]


def test_mixture_weights_minimise_dev_perplexity():
    words = vocabulary(WORDS)
    models = [estimate(random_text(100, seed), words, 2) for seed in (1, 2)]
    dev = random_text(150, 1)[100:] + random_text(120, 2)[100:]
    weights = best_weights(models, dev)
    best = min(np.linspace(0.02, 0.98, 49), key=lambda part: perplexity(mix(models, [part, 1 - part]), dev))
    assert sum(weights) == pytest.approx(1) and weights[0] == pytest.approx(best, abs=0.03)
    assert best_weights(models, []) == [0.5, 0.5]


@pytest.mark.parametrize("name", ["trie.lm", "trie_packed.lm"])
def test_binary_tries_hold_what_kenlm_reads(name):
    """The same 3-gram by KenLM's build_binary trie, and with -q 4 -b 3 -a 22."""
    path = Path(__file__).parent / name
    model = read_trie(path)
    assert model.sizes() == [14, 95, 235]
    heldout = random_text(40, words=model.words[3:])
    np.testing.assert_allclose(our_scores(model, heldout), kenlm_score(path, heldout), rtol=1e-5)


def test_a_binary_that_is_no_trie_is_told(tmp_path):
    whole = (Path(__file__).parent / "trie.lm").read_bytes()
    for content, told in ((whole[:96] + b"\0" + whole[97:], "build_binary trie"), (whole[:700], "cut short"),
                          (whole[:60], "cut short"), (whole[:-9], "cut short"),
                          (whole[:108] + b"\xff" * 8 + whole[116:], "cut short")):
        (tmp_path / "x.lm").write_bytes(content)
        with pytest.raises(UserError, match=f"x.lm: .*{told}"):
            read_model(tmp_path / "x.lm")


def test_an_arpa_that_lacks_suffixes_is_made_whole(tmp_path):
    """As SRILM prunes: b c is not there, although a b c is."""
    (tmp_path / "x.arpa").write_text("""\\data\\
\\1-grams:\n-9 <unk>\n-99 <s> -0.2\n-0.6 </s>\n-0.5 a -0.3\n-0.7 b -0.4\n-0.8 c
\\2-grams:\n-0.4 a b -0.1\n-0.3 <s> a
\\3-grams:\n-0.2 a b c\n\n\\end\\\n""")
    model = read_arpa(tmp_path / "x.arpa")
    text = [["a", "b", "c"], ["b", "c"]]
    np.testing.assert_allclose(our_scores(model, text), [-0.3 - 0.4 - 0.2 - 0.6, -0.9 - 1.2 - 0.6])
    wide = over(model, vocabulary("abcde"))
    np.testing.assert_allclose(our_scores(wide, text), our_scores(model, text))


@pytest.mark.parametrize("content", ["", "hello\n", "\\data\\\n\n\\1-grams:\nx a 0\n", "\\1-grams:\n-1 a b c d\n",
                                     "\\2-grams:\n-1 a b\n\\1-grams:\n-1 a\n\\end\\\n", "\\1-grams:\n\\3-grams:\n"])
def test_broken_arpa_is_told(tmp_path, content):
    (tmp_path / "lm.arpa").write_text(content)
    with pytest.raises(UserError, match=r"lm.arpa.*ARPA"):
        read_arpa(tmp_path / "lm.arpa")


def test_an_arpa_with_an_ngram_twice_or_in_a_pipe_is_told(tmp_path):
    (tmp_path / "lm.arpa").write_text("\\1-grams:\n-1 a\n-1 b\n-2 a\n\n\\end\\\n")
    with pytest.raises(UserError, match=r"lm.arpa:4: a is there twice"):
        read_model(tmp_path / "lm.arpa")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="a pipe or a device"):
        read_model(tmp_path / "pipe")
