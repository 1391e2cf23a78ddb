"""Every corpus' module, on a small tree in the corpus' real layout, through stages 1 to 3."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from corpus_trees import BUILDERS, OPTIONS, SENTENCES, TEST_ONLY, TEXTS, WORDS, lines, speech
from small_experiment import run_script

import local.aishell_sample
import steps.download
import steps.stage1_prepare
import steps.stage2_lexicon
import steps.stage3_features
from steps.common.errors import UserError
from steps.config.load import dump, load_experiment, load_resolved
from steps.corpus.table import read_table
from steps.corpus.validate import validate
from steps.corpus.write import read_data_dir


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project to run stages in, one process for all work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YINJIE_NJ", "1")
    (tmp_path / "conf/features").mkdir(parents=True)
    (tmp_path / "conf/features/fbank.yaml").write_text("type: fbank\nnum_bins: 20\n")
    return tmp_path


def configure(project: Path, module: str, name: str | None = None, **keys) -> Path:
    """Build the corpus' tree and write its config; give the tree's root."""
    root = project / "corpus" / (name or module)
    root.mkdir(parents=True)
    (BUILDERS | TEST_ONLY)[module](root)
    config = {"module": module, "root": str(root), **OPTIONS.get(module, {}), **keys}
    path = project / "conf/corpora" / f"{name or module}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return root


def stages_1_and_2(monkeypatch, *corpora: str) -> None:
    for corpus in corpora:
        run_script(monkeypatch, steps.stage1_prepare, corpus)
        run_script(monkeypatch, steps.stage2_lexicon, corpus)


def refused(monkeypatch, *arguments: str) -> str:
    """What stage 1 says when it refuses; nothing may be written."""
    with pytest.raises(UserError) as error:
        run_script(monkeypatch, steps.stage1_prepare, *arguments)
    data = Path("data") / arguments[0]
    assert not data.exists() or not any(data.iterdir())
    return str(error.value)


@pytest.mark.parametrize("module", BUILDERS)
def test_stages_1_to_3(module, project, monkeypatch):
    configure(project, module)
    stages_1_and_2(monkeypatch, module)
    run_script(monkeypatch, steps.stage3_features, module, "fbank")
    sets = OPTIONS.get(module, {}).get("sets", ["train", "dev", "test"])
    utts, speakers = [], {}
    for name in sets:
        assert validate(project / "data" / module / name).utterances
        utterances = read_data_dir(project / "data" / module / name)
        utts += [each.utt for each in utterances]
        speakers[name] = {each.spk for each in utterances}
        assert all(each.pinyin for each in utterances)
        frames = read_table(project / "exp/features" / f"{module}_fbank" / name / "utt2num_frames")
        assert list(frames) == [each.utt for each in utterances]
    assert len(utts) == len(set(utts))
    if module in ("stcmds", "primewords", "table"):  # no sets of their own: no speaker in two
        assert not speakers["train"] & speakers["dev"] | speakers["train"] & speakers["test"]


@pytest.mark.parametrize("links", [True, False])
def test_thchs30_keeps_dev_sentences_out_of_train(project, monkeypatch, links):
    """Also where links cannot be made: an archive's link is a text file there."""
    root = configure(project, "thchs30")
    for link in () if links else root.glob("data_thchs30/*/*.wav"):
        if link.is_symlink():
            target = link.readlink()
            link.unlink()
            link.write_text(str(target))
    run_script(monkeypatch, steps.stage1_prepare, "thchs30")
    texts = {name: set(read_table(f"data/thchs30/{name}/text").values()) for name in ("train", "dev", "dev_official")}
    assert texts["dev"] and texts["train"] and not texts["dev"] & texts["train"]
    assert texts["dev_official"] == set(SENTENCES)
    pinyin = read_table("data/thchs30/test/pinyin")
    assert pinyin["D04_002"] == "ta1 xi3 huan5 he1 lv4 cha2"
    assert pinyin["D04_006"] == "ta1 de5 nv3 er2 san1 sui4"


def test_audio_cmn_leaves_patterns_out_and_words_keep_their_set_when_others_come(project, monkeypatch, capsys):
    root = configure(project, "audio_cmn")
    speech(root / "24k-abr/hsk/cmn-T恤.mp3", 22050)
    run_script(monkeypatch, steps.stage1_prepare, "audio_cmn")
    said = capsys.readouterr().err
    assert "1 of 26 left out: patterns with an underscore, such as 一_也_" in said
    assert "1 of 25 left out: their names are not hanzi: T恤" in said
    assert read_table("data/audio_cmn/train/text")["yuetan-hsk-北京"] == "北京"
    before = {name: set(read_table(f"data/audio_cmn/{name}/text")) for name in ("train", "dev", "test")}
    for word in ("狗", "汉语", "好", "喝"):
        speech(root / f"24k-abr/hsk/cmn-{word}.mp3", 22050)
    run_script(monkeypatch, steps.stage1_prepare, "audio_cmn")
    assert all(utts <= set(read_table(f"data/audio_cmn/{name}/text")) for name, utts in before.items())


def said_in(name: str, corpus: str = "aishell_sample") -> set[str]:
    """The texts of a prepared set, blanks taken out."""
    return {text.replace(" ", "") for text in read_table(f"data/{corpus}/{name}/text").values()}


def test_aishell_sample_has_no_sentence_in_two_sets(project, monkeypatch, capsys):
    root = configure(project, "aishell_sample")
    extra = speech(root / "AISHELL_Sample_data/BAC009S0150W0500.wav")
    lines(extra.with_suffix(".txt"), "想听歌曲LetItGo")
    run_script(monkeypatch, steps.stage1_prepare, "aishell_sample")
    assert "1 of 36 left out: Latin letters in the text, such as 想听歌曲LetItGo" in capsys.readouterr().err
    texts = {name: said_in(name) for name in ("train", "dev", "test")}
    assert sum(map(len, texts.values())) == len(set.union(*texts.values())) == len(TEXTS) + len(WORDS)
    assert all(texts.values())


def test_aishell_sample_by_speaker(project, monkeypatch):
    """Test is all that one speaker says; train has neither that voice nor those sentences."""
    configure(project, "aishell_sample", options={"test_speaker": "S0252"})
    run_script(monkeypatch, steps.stage1_prepare, "aishell_sample")
    assert set(read_table("data/aishell_sample/test/utt2spk").values()) == {"BAC009S0252"}
    assert set(read_table("data/aishell_sample/train/utt2spk").values()) == {"BAC009S0150"}
    assert said_in("test") == {text.replace(" ", "") for text in TEXTS[:3]}
    assert not said_in("train") & (said_in("test") | said_in("dev"))
    assert len(said_in("train") | said_in("dev")) == len(TEXTS) + len(WORDS) - 3
    configure(project, "aishell_sample", "other", options={"test_speaker": "S0001"})
    assert "there is no S0001, only BAC009S0150, BAC009S0252" in refused(monkeypatch, "other")


@pytest.mark.parametrize("speaker", [None, "S0252"])
def test_aishell_sample_packed_is_the_same(speaker, project, monkeypatch):
    """transcripts.tsv beside FLAC files: the same utterances in the same sets."""
    root = configure(project, "aishell_sample", options={"test_speaker": speaker})
    run_script(monkeypatch, steps.stage1_prepare, "aishell_sample")
    before = {name: read_table(f"data/aishell_sample/{name}/text") for name in ("train", "dev", "test")}
    rows = ["file\tspeaker\ttext\tsource\tnote"]
    for path in sorted(root.glob("*/*.txt")):
        flac = speech(root / "audio" / f"{path.stem}.flac")
        rows.append(f"audio/{flac.name}\t{path.stem[6:11]}\t{path.read_text().strip()}\tQianZ423\t")
    lines(root / "transcripts.tsv", *rows)
    run_script(monkeypatch, steps.stage1_prepare, "aishell_sample")
    assert before == {name: read_table(f"data/aishell_sample/{name}/text") for name in ("train", "dev", "test")}
    assert all(wav.endswith(".flac") for wav in read_table("data/aishell_sample/test/wav.scp").values())


def test_aishell_sample_names_a_clip_without_text(project, monkeypatch):
    root = configure(project, "aishell_sample")
    next(root.glob("*/*S0150W0003.txt")).unlink()
    assert "1 of 35 recordings have no transcript, such as BAC009S0150W0003" in refused(monkeypatch, "aishell_sample")


def test_aishell_sample_checks_what_was_downloaded(project):
    root = configure(project, "aishell_sample")
    with pytest.raises(UserError, match=r"35 \.wav and 35 \.txt, but 1000 of each are expected"):
        local.aishell_sample.check_clips(root)


def test_seedlingo(project, monkeypatch, capsys):
    """Words and questions; of words that share a recording the first; not the instructions, which have no text."""
    root = configure(project, "seedlingo", sets=["test"])
    run_script(monkeypatch, steps.stage1_prepare, "seedlingo")
    assert "1 of 4 left out: one character that is read in several ways: 教1" in capsys.readouterr().err
    texts = {"seedlingo-数字": "数字", "seedlingo-他她它": "她", "seedlingo-短文12-1-q3": "“我”有几个姐妹？"}
    assert read_table("data/seedlingo/test/text") == texts
    rows = [f"content/audio/{utt.partition('-')[2]}.mp3\t?\t{text}" for utt, text in texts.items()]
    lines(root / "transcripts.tsv", "file\tspeaker\ttext", *rows)
    run_script(monkeypatch, steps.stage1_prepare, "seedlingo")
    assert read_table("data/seedlingo/test/text") == texts
    (root / "transcripts.tsv").unlink()
    lines(root / "content/Unit12.json", '{"exercises": ')
    configured = project / "conf/corpora/again.yaml"
    configured.write_text((project / "conf/corpora/seedlingo.yaml").read_text())
    assert "Unit12.json: broken JSON" in refused(monkeypatch, "again")


def test_a_corpus_of_pinyin_alone_has_no_text(project, monkeypatch, capsys):
    root = configure(project, "audio_cmn", sets=["train"], options={"part": "syllabs"})
    speech(root / "24k-abr/syllabs/cmn-fe1.mp3", 22050, 0.6)
    run_script(monkeypatch, steps.stage1_prepare, "audio_cmn")
    assert "1 of 21 left out: their names are not a tonal syllable of Mandarin: fe1" in capsys.readouterr().err
    assert not Path("data/audio_cmn/train/text").exists()
    pinyin = set(read_table("data/audio_cmn/train/pinyin").values())
    assert pinyin == {base + str(tone) for base in ("a", "ba", "zhong", "nv", "ju") for tone in range(1, 5)}


def test_words_and_bare_syllables_combine(project, monkeypatch):
    """A corpus of hanzi and one of pinyin for training alone: stage 2 of each, then both together."""
    configure(project, "audio_cmn")
    configure(project, "audio_cmn", "syllabs", sets=["train"], options={"part": "syllabs"})
    options = yaml.dump({"module": "combine", "pinyin": {"sandhi": "spoken"},
                         "options": {"corpora": {"audio_cmn": ["train", "dev", "test"], "syllabs": ["train"]}}})
    Path("conf/corpora/spoken.yaml").write_text(options)
    stages_1_and_2(monkeypatch, "audio_cmn", "syllabs", "audio_cmn+syllabs", "spoken")
    pinyin, spoken = (read_table(f"data/{corpus}/train/pinyin") for corpus in ("audio_cmn+syllabs", "spoken"))
    assert spoken == pinyin
    assert read_table("data/spoken/dev/pinyin")["yuetan-hsk-水果"] == "shui2 guo3"
    assert pinyin["chenwang-syllabs-jv1"] == "ju1" and pinyin["yuetan-hsk-北京"] == "bei3 jing1"
    assert "jv1" not in Path("data/audio_cmn+syllabs/lang/lexicon.txt").read_text()
    for name in ("dev", "test"):
        assert read_table(f"data/audio_cmn+syllabs/{name}/pinyin") == read_table(f"data/audio_cmn/{name}/pinyin")
    assert pinyin.keys() == {*read_table("data/audio_cmn/train/utt2spk"), *read_table("data/syllabs/train/utt2spk")}


def test_what_a_combination_leaves_out_of_train(project, monkeypatch, capsys):
    """What dev or test says, where a corpus is for training alone; and what has no pinyin."""
    configure(project, "audio_cmn")
    configure(project, "aishell", sets=["train"])
    stages_1_and_2(monkeypatch, "audio_cmn", "aishell")
    text = read_table("data/aishell/train/text")
    seen, unread, *others = sorted(text)
    text[seen] = " ".join(read_table("data/audio_cmn/test/text").popitem()[1])
    Path("data/aishell/train/text").write_text("".join(f"{utt} {words}\n" for utt, words in text.items()))
    pinyin = Path("data/aishell/train/pinyin")
    pinyin.write_text(re.sub(f"^{unread} .*\n", "", pinyin.read_text(), flags=re.M))
    run_script(monkeypatch, steps.stage1_prepare, "audio_cmn+aishell")
    said = capsys.readouterr().err
    assert f"data/aishell/train: 1 of {len(text)} left out: they have no pinyin" in said
    assert f"aishell: 1 of {len(text) - 1} left out of train: another set" in said
    assert (set(read_table("data/audio_cmn+aishell/train/text"))
            == {*read_table("data/audio_cmn/train/text"), *others})


def test_combination(project, monkeypatch):
    """`corpora: [a, b]`: the corpus a+b, with the pinyin that one ships and the other has from stage 2."""
    configure(project, "thchs30")
    configure(project, "aishell")
    for corpus in ("thchs30", "aishell"):
        run_script(monkeypatch, steps.stage1_prepare, corpus)
    assert "run stages 1 and 2 of aishell first" in refused(monkeypatch, "thchs30+aishell")
    run_script(monkeypatch, steps.stage2_lexicon, "aishell")
    stages_1_and_2(monkeypatch, "thchs30+aishell")
    sets = sorted(path.name for path in Path("data/thchs30+aishell").iterdir())
    assert sets == ["dev", "dev_official", "lang", "test", "train"]  # those of the first; aishell has no dev_official
    combined = read_table("data/thchs30+aishell/test/pinyin")
    assert combined == read_table("data/thchs30/test/pinyin") | read_table("data/aishell/test/pinyin")


def test_same_ids_in_two_corpora_are_refused(project, monkeypatch):
    for name in ("one", "two"):
        configure(project, "aishell", name)
        stages_1_and_2(monkeypatch, name)
    assert "the utterance is there twice" in refused(monkeypatch, "one+two")


TRANSCRIPT, WAV = "data_aishell/transcript/aishell_transcript_v0.8.txt", "data_aishell/wav"
FAULTS = {  # of AISHELL's tree
    "a recording is gone": (
        lambda root: (root / WAV / "train/S0003/BAC009S0003W0122.wav").unlink(),
        "1 of 12 transcripts have no recording, such as BAC009S0003W0122"),
    "two recordings of one name": (
        lambda root: speech(root / WAV / "test/S0764 (copy)/BAC009S0764W0121.wav"), "has the same name"),
    "archives that are not extracted": (
        lambda root: (shutil.rmtree(root / WAV), lines(root / WAV / "S0002.tar.gz")),
        "1 archives in it are not extracted, such as S0002.tar.gz"),
    "an utterance twice": (
        lambda root: (root / TRANSCRIPT).open("a").write("BAC009S0002W0121 你好\n"),
        f"{TRANSCRIPT}:13: BAC009S0002W0121: the utterance is there twice"),
    "text of GBK": (
        lambda root: (root / TRANSCRIPT).write_bytes((root / TRANSCRIPT).read_text().encode("gbk")),
        f"{TRANSCRIPT}:1: not UTF-8, it reads as GBK; convert it: iconv"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_tree(project, monkeypatch, fault):
    make, said = FAULTS[fault]
    make(configure(project, "aishell"))
    assert said in refused(monkeypatch, "aishell")


@pytest.mark.parametrize(("key", "value", "said"), [
    ("options", {}, "1 of 13 recordings have no transcript, such as BAC009S0002W0999"),
    ("options", {}, "skip: [untranscribed]"),
    ("root", "conf", "conf: neither transcript nor data_aishell/transcript is in it"),
])
def test_faults_of_a_config(project, monkeypatch, key, value, said):
    configure(project, "aishell", **{key: value})
    assert said in refused(monkeypatch, "aishell")


def test_full_width_letters_of_public_corpora_are_mended(project, monkeypatch):
    configure(project, "aishell", root=str(project / "corpus/aishell/data_aishell"))
    path = project / "corpus/aishell" / TRANSCRIPT
    path.write_text(path.read_text().replace("天气", "ｋ Ｔ　Ｖ"))
    run_script(monkeypatch, steps.stage1_prepare, "aishell")
    assert read_table("data/aishell/test/text")["BAC009S0764W0121"] == "今天 k T V 很 好"


def test_broken_audio_names_itself_or_is_left_out(project, monkeypatch, capsys):
    root = configure(project, "aishell")
    bad = next(root.glob("data_aishell/wav/train/S0003/*0122.wav"))
    bad.write_bytes(bad.read_bytes()[:5000])
    assert f"BAC009S0003W0122: {bad}: cut short: " in refused(monkeypatch, "aishell")
    bad.write_bytes(b"")
    assert f"BAC009S0003W0122: {bad}: the file is empty" in refused(monkeypatch, "aishell")
    conf = Path("conf/corpora/aishell.yaml")
    conf.write_text(conf.read_text() + "skip_bad: true\n")
    capsys.readouterr()
    run_script(monkeypatch, steps.stage1_prepare, "aishell")
    assert "kept 11 of 12, left out:\n  BAC009S0003W0122: " in capsys.readouterr().err
    assert "BAC009S0003W0122" not in read_table("data/aishell/train/text")


def test_wrong_count(project, monkeypatch, capsys):
    configure(project, "aishell", expected={"train": 7, "dev+test": 6})
    said = refused(monkeypatch, "aishell", "--strict")
    assert "train: 6 utterances, but the documentation says 7 (-1)" in said and "dev+test" not in said
    run_script(monkeypatch, steps.stage1_prepare, "aishell")
    assert "warning: the corpus is not what its documentation says" in capsys.readouterr().err


def test_failure_keeps_what_was_there(project, monkeypatch):
    path = configure(project, "aishell") / TRANSCRIPT
    run_script(monkeypatch, steps.stage1_prepare, "aishell")
    before = {file: file.read_bytes() for file in Path("data").rglob("*") if file.is_file()}
    path.write_text(path.read_text().replace("好", "<s>"))
    with pytest.raises(UserError, match="BAC009S0002W0121: <s> in the text"):
        run_script(monkeypatch, steps.stage1_prepare, "aishell")
    assert before == {file: file.read_bytes() for file in Path("data").rglob("*") if file.is_file()}


def test_table_with_sets_and_pinyin(project, monkeypatch, capsys):
    root = configure(project, "table", options={"file": "own.tsv", "speaker": "client_id"})
    rows = [(f"anna {number}.ogg", "anna", "lǜ" if number > 2 else "Lü4 de", name)
            for number, name in enumerate(("train", "dev", "test"))]
    lines(root / "own.tsv", "audio\tclient_id\tpinyin\tset", *map("\t".join, rows))
    run_script(monkeypatch, steps.stage1_prepare, "table")
    assert read_table("data/table/dev/pinyin") == {"anna-anna_1": "lv4 de5"}
    drawn = [f"anna {number}.ogg\tanna\t{word}\tTrain" for number, word in enumerate(("lv4", "de5", "hao3"))]
    lines(root / "own.tsv", "audio\tclient_id\tpinyin\tset", *drawn)
    run_script(monkeypatch, steps.stage1_prepare, "table")
    assert "all rows are of train; dev and test are drawn from them" in capsys.readouterr().err
    assert [len(read_table(f"data/table/{name}/pinyin")) for name in ("train", "dev", "test")] == [1, 1, 1]


def test_magicdata_noise_marks(project, monkeypatch, capsys):
    root = configure(project, "magicdata")
    path = root / "train/TRANS.txt"
    path.write_text(path.read_text().replace("今天天气很好。", "[FIL]"))
    run_script(monkeypatch, steps.stage1_prepare, "magicdata")
    assert "1 of 3 left out: noise alone" in capsys.readouterr().err
    assert read_table("data/magicdata/train/text")["38_5837_20170826171151"] == "我们去北京"


def test_primewords_broken_json(project, monkeypatch):
    root = configure(project, "primewords")
    path = root / "primewords_md_2018_set1/set1_transcript.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps(entries)[:-9])
    assert "broken JSON" in refused(monkeypatch, "primewords")
    del entries[2]["user_id"]
    path.write_text(json.dumps(entries))
    assert f"{entries[2]['file']}: no user_id" in refused(monkeypatch, "primewords")


def test_common_voice_is_downloaded_by_hand(project, monkeypatch):
    configure(project, "common_voice")
    with pytest.raises(UserError, match="downloaded by hand"):
        run_script(monkeypatch, steps.download, "common_voice")


def test_the_archives_that_a_module_names_are_downloaded(project, monkeypatch):
    configure(project, "aishell")
    fetched = []
    monkeypatch.setattr(steps.download, "fetch_all", lambda archives, root: fetched.append((archives, root)))
    run_script(monkeypatch, steps.download, "aishell")
    (archives, root), = fetched
    assert [archive.folder for archive in archives] == ["data_aishell"] and root == project / "corpus/aishell"


def test_experiments_may_name_several_corpora(project):
    for name, keys in (("one", ["sets: [train, test]"]), ("two", []), ("three", ["pinyin: {sandhi: spoken}"])):
        lines(Path(f"conf/corpora/{name}.yaml"), f"module: {name}", *keys)
    rest = ["features: fbank", "model: {blocks: [{channels: 8}]}", "decode: {sets: [test]}"]
    lines(Path("conf/both.yaml"), "corpora: [one, two]", *rest)
    config = load_experiment("both")
    assert (config.experiment.corpus, config.corpus.sets) == ("one+two", ["train", "test"])
    assert config.data_dir == Path("data/one+two") and config.feature_dir == Path("exp/features/one+two_fbank")
    lines(Path("exp/both/config.yaml"), *dump(config).splitlines())
    assert load_resolved("exp/both") == config
    for corpora, said in (("[one, three]", "one and three differ in `pinyin`"), ("[two, two]", "must be different"),
                          ("[one, four]", "four.yaml: no such file"), ("one", "a list of names")):
        lines(Path("conf/both.yaml"), f"corpora: {corpora}", *rest)
        with pytest.raises(UserError, match=re.escape(said)):
            load_experiment("both")
