"""Spliced utterances: what they say is what is heard, each syllable from a place like its own."""

import itertools

import numpy as np
import pytest

from steps.common.errors import UserError
from steps.common.files import write_lines
from steps.config.load import Resolved
from steps.config.schema import Augment, Corpus, Experiment, Features, Model, Train
from steps.corpus.table import write_table
from steps.model.augment import Segment, Splicer, Take, cut, load_splicer
from steps.model.batches import TrainingBatches
from steps.search.alignment import Timed
from steps.text.tones import sounds_otherwise

MODEL = Model(blocks=[{"channels": 4, "layers": 1, "pool": 4}])
SPEAKERS = {"amy": (30, 4), "bob": (20, 10)}  # utterances, and one more than the syllables of the longest


def corpus(seed=0):
    """Takes cut into syllables, whose features say token and place: bin 0 the token, bin 1 the position."""
    rng = np.random.default_rng(seed)
    takes, feats, speakers = {}, {}, {}
    for speaker, (count, most) in SPEAKERS.items():
        for i in range(count):
            utt, labels = f"{speaker}-{i:02d}", rng.integers(1, 9, rng.integers(1, most)).tolist()
            edges = np.r_[0, np.cumsum(rng.integers(12, 30, len(labels)))].tolist()
            segments = [Segment(utt, begin, end) for begin, end in itertools.pairwise(edges)]
            takes[utt], speakers[utt] = Take(segments, labels), speaker
            feats[utt] = np.concatenate([np.full((one.end - one.begin, 2), [token, at], np.float32)
                                         for at, (one, token) in enumerate(zip(segments, labels, strict=True))])
    return takes, feats, speakers


def never(token, following):
    return False


def splice(splicer, takes, seed):
    return splicer.splice(list(takes), list(takes.values()), np.random.default_rng(seed))


def test_spliced_utterances_say_what_is_heard_at_places_alike():
    takes, feats, speakers = corpus()
    spliced = splice(Splicer(takes, speakers, 1.0, never), takes, 0)
    sources = set()
    longest = max(take.frames for take in takes.values())
    for (utt, take), new in zip(takes.items(), spliced, strict=True):
        assert len(take.labels) <= len(new.labels) == len(new.segments)
        assert new.feats([feats]).shape == (new.frames, 2)
        assert len(new.labels) == len(take.labels) or new.frames <= longest
        begins = True  # a new one of those that stand one after the other
        for number, (segment, token) in enumerate(zip(new.segments, new.labels, strict=True)):
            assert set(feats[segment.utt][segment.begin:segment.end, 0]) == {token}
            donor = takes[segment.utt]
            at = donor.segments.index(segment)
            assert speakers[segment.utt] == speakers[utt]
            assert (at == 0) == begins
            begins = at == len(donor.labels) - 1
            assert begins if number == len(take.labels) - 1 else True
        assert begins
        sources |= {segment.utt for segment in new.segments} if len(take.labels) > 1 else set()
        assert new is take or len(take.labels) > 1
    assert len(sources) > 20
    assert any(len(new.labels) > len(take.labels) for take, new in zip(takes.values(), spliced, strict=True))


def long_takes(count=40):
    """Utterances of ten syllables each, a segment a syllable."""
    rng = np.random.default_rng(0)
    return {f"a{i:02d}": Take([Segment(f"a{i:02d}", 10 * at, 10 * at + 10) for at in range(10)],
                              rng.integers(1, 9, 10).tolist()) for i in range(count)}


@pytest.mark.parametrize("run", [1, 2, 4])
def test_runs_of_syllables_stay_together(run):
    """Each piece is as it was said; together they are at most `run` long, and often of several utterances."""
    takes = long_takes()
    lengths, donors = set(), []
    for new in splice(Splicer(takes, dict.fromkeys(takes, "amy"), 1.0, never, run), takes, 0):
        assert len(new.segments) == len(new.labels) == 10
        assert new.labels == [takes[one.utt].labels[one.begin // 10] for one in new.segments]
        assert [one.begin for one in new.segments][::9] == [0, 90]  # the first of a beginning, the last of an end
        assert all(0 < one.begin < 90 for one in new.segments[1:-1])
        joined = [one.utt == two.utt and one.end == two.begin for one, two in itertools.pairwise(new.segments[1:-1])]
        lengths |= {len(piece) + 1 for piece in "".join("+" if one else " " for one in joined).split()}
        donors.append(len({one.utt for one in new.segments}))
    assert max(lengths, default=1) <= run + 2 and (run == 1 or run in lengths)  # two runs may meet by chance
    assert np.mean(donors) > 10 / (run + 1)


def test_runs_do_not_end_where_a_syllable_sounds_otherwise():
    """Before a token that is even, none is fit to be cut off."""
    takes = long_takes()
    splicer = Splicer(takes, dict.fromkeys(takes, "amy"), 1.0, lambda token, following: following % 2 == 0 and
                      following > 0, 4)
    for new in splice(splicer, takes, 1):
        for one, two in itertools.pairwise(new.segments):
            following = takes[one.utt].labels[one.end // 10]
            assert (one.utt == two.utt and one.end == two.begin) or following % 2


def test_a_take_in_a_faster_copy():
    take = Take([Segment("a", 0, 40), Segment("b", 10, 11), Segment("b", 11, 50)], [1, 2, 3])
    moved = take.in_copy(2, {"a": 100, "b": 50}, {"a": 80, "b": 25})
    assert moved == Take([Segment("a", 0, 32, 2), Segment("b", 5, 6, 2), Segment("b", 6, 25, 2)], [1, 2, 3])
    feats = [{}, {}, {"a": np.arange(80.0)[:, None], "b": np.arange(100.0, 125.0)[:, None]}]
    assert moved.feats(feats)[:, 0].tolist() == [*range(32), 105, *range(106, 125)]


def test_the_share_is_kept_and_draws_repeat():
    takes, _, speakers = corpus()
    splicer = Splicer(takes, speakers, 0.5, never)
    several = [utt for utt, take in takes.items() if len(take.labels) > 1]
    changed = [sum(new is not take for take, new in zip(takes.values(), splice(splicer, takes, i),
                                                        strict=True)) for i in range(50)]
    assert np.mean(changed) == pytest.approx(0.5 * len(several), rel=0.1)
    assert splice(splicer, takes, 3) == splice(splicer, takes, 3)
    assert splice(Splicer(takes, speakers, 0.0, never), takes, 3) == list(takes.values())


def test_what_sounds_otherwise_is_not_cut_out():
    tokens = ["<blk>", "ni3", "hao3", "ma1"]
    takes = {"a": Take([Segment("a", 0, 9), Segment("a", 9, 20)], [1, 2]),
             "b": Take([Segment("b", 0, 9), Segment("b", 9, 20)], [1, 3]),
             "c": Take([Segment("c", 0, 9), Segment("c", 9, 20)], [2, 3])}
    splicer = Splicer(takes, dict.fromkeys(takes, "amy"), 1.0, lambda a, b: sounds_otherwise(tokens[a], tokens[b]))
    firsts = {new.segments[0] for seed in range(30) for new in splice(splicer, takes, seed)}
    assert firsts == {Segment("b", 0, 9), Segment("c", 0, 9)}


def test_rare_syllables_come_more_often_than_they_are_said():
    takes = {f"a{i:02d}": Take([Segment(f"a{i:02d}", 0, 9), Segment(f"a{i:02d}", 9, 20)], [2 if i else 1, 3])
             for i in range(26)}
    splicer = Splicer(takes, dict.fromkeys(takes, "amy"), 1.0, never)
    drawn = [new.labels[0] for seed in range(60) for new in splice(splicer, takes, seed)]
    assert np.mean(np.array(drawn) == 1) == pytest.approx(1 / 6, abs=0.03)  # 1 against √25, where 1 of 26 is said


def test_batches_of_spliced_utterances():
    takes, feats, speakers = corpus()
    labels = {utt: take.labels for utt, take in takes.items()}
    frames = {utt: len(matrix) for utt, matrix in feats.items()}
    train = Train(batch_size=4, ali="other", augment=Augment(splice=1.0))
    splicer = Splicer(takes, speakers, 1.0, never)

    def content(epoch):
        batches = TrainingBatches(feats, frames, labels, MODEL, train, 1, 9, splicer=splicer)
        return list(batches.epoch(epoch))

    new = 0
    for batch in content(1):
        for matrix, out_length, ids, count in zip(*batch, strict=True):
            heard = matrix[:4 * out_length]
            runs = np.flatnonzero(np.diff(heard[:, 1], prepend=-1))  # positions in a word ascend
            assert len(runs) <= count and ids[:count].tolist()[:1] == [heard[0, 0]]
            assert set(heard[:, 0]) <= set(ids[:count].tolist()) | {0.0}
            new += ids[:count].tolist() not in labels.values()
    assert new > 10
    for one, other in zip(content(2), content(2), strict=True):
        np.testing.assert_array_equal(one.feats, other.feats)


def test_cuts_leave_some_silence_at_the_ends_and_nothing_out_between():
    syllables = [Timed(0.25, 0.25, "ni3", 1.0), Timed(0.5, 0.31, "hao3", 1.0), Timed(0.81, 0.3, "ma5", 1.0)]
    assert cut(syllables, 150, 0.01) == [(10, 50), (50, 81), (81, 126)]
    assert cut(syllables, 120, 0.01) == [(10, 50), (50, 81), (81, 120)]
    assert cut([Timed(0.1, 0.2, "ni3", 1.0)], 120, 0.01) == [(0, 45)]


def resolved() -> Resolved:
    train = Train(ali="old", augment=Augment(splice=1.0))
    experiment = Experiment(corpus="toy", features="fbank", model=MODEL, train=train)
    return Resolved(name="new", experiment=experiment, corpus=Corpus(module="table"), features=Features(type="fbank"))


TOKENS = ["<blk>", "hao3", "ma5", "ni3"]
CTM = """a 1 0.250 0.250 ni3 0.9
a 1 0.500 0.300 ma5 0.9
b 1 0.100 0.200 hao3 0.9
c 1 0.100 0.200 hao3 0.9
c 1 0.300 0.200 hao3 0.9
"""


def test_the_alignment_of_another_experiment_is_cut_by(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    write_lines("exp/old/ali/train/ctm", CTM.splitlines())
    write_table("data/toy/train/utt2spk", dict.fromkeys("abc", "amy"))
    labels, frames = {"a": [3, 2], "b": [1], "c": [3, 1]}, {"a": 120, "b": 50, "c": 60}
    splicer = load_splicer(labels, frames, TOKENS, resolved())
    assert "ctm: 2 of the 3 training utterances are spliced" in capsys.readouterr().err
    takes = {utt: Take([Segment(utt, 0, frames[utt])], ids) for utt, ids in labels.items()}
    a, b, c = splice(splicer, takes, 0)
    assert a == c == Take([Segment("a", 10, 50), Segment("a", 50, 95)], [3, 2])  # c is aligned with other syllables
    assert b is takes["b"]


def test_an_alignment_of_another_corpus_is_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="exp/old/ali/train/ctm: no such file"):
        load_splicer({"x": [1]}, {"x": 50}, TOKENS, resolved())
    write_lines("exp/old/ali/train/ctm", CTM.splitlines())
    with pytest.raises(UserError, match="has 0 of the 1 training utterances"):
        load_splicer({"x": [1]}, {"x": 50}, TOKENS, resolved())
