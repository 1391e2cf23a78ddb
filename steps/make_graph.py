"""Language models and decoding graph of an experiment, exp/<experiment>/graph/: what `decode.lm` in conf/ names.

syllables.arpa is for the prefix beam; words.arpa, graph.fst, words.txt and lexicon.txt are for wfst; lm.json has
their sources, and for each source its weight, which dev chose, the part of dev's words that it does not know, and its
perplexity over the other words.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from steps.common.checksums import AGAIN, check_sums, forget_sums, write_sums
from steps.common.errors import counted, run
from steps.common.files import write_json
from steps.common.process import output_lock
from steps.config.load import Resolved, load_experiment
from steps.config.schema import GENERAL, TRAIN, Pinyin
from steps.corpus.write import read_pinyin
from steps.search.arpa import write_arpa
from steps.search.graph import GRAPH_FILES, LM, build_graph
from steps.search.lm import Mixed, newspaper_lm, read_model, sentence_length, syllable_lm, word_lm
from steps.search.words import POLICIES, Readings, only_hanzi, readings_of, word_counts
from steps.text.syllables import read_tokens, tokens_hash
from steps.text.transcripts import read_texts, transcribe, transcribe_file

Text = tuple[list[list[str]], list[list[str]]]  # sentences as words, and as syllables


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.make_graph", description=__doc__)
    parser.add_argument("experiment", help="names conf/<experiment>.yaml and exp/<experiment>, which is trained")
    name = parser.parse_args().experiment
    config, exp_dir = load_experiment(name), Path("exp") / name
    check_sums(exp_dir, AGAIN.format("4 (train)"), ["tokens.txt"])
    with output_lock(exp_dir, "graph"):
        make_graph(config, exp_dir / "graph", read_tokens(exp_dir / "tokens.txt"))


def make_graph(config: Resolved, folder: Path, tokens: list[str]) -> None:
    """Write what the experiment's methods need; lm.json comes last."""
    begin = time.monotonic()
    lm, policy = config.experiment.decode.lm, config.corpus.pinyin
    texts = {name: _of_set(config, TRAIN) if name == TRAIN else _of_file(Path(name), policy) for name in lm.text}
    words, syllables = ({name: text[part] for name, text in texts.items()} for part in range(2))
    dev_words, dev_syllables = _of_set(config, "dev")
    models = {name: read_model(Path(name), tokens[1:]) for name in lm.arpa}
    of_words = {name: model for name, model in models.items() if {*model.words}.isdisjoint(tokens)}
    of_syllables = {name: model for name, model in models.items() if name not in of_words}
    if GENERAL in lm.words and "wfst" in config.experiment.decode.methods:
        of_words = {"newspaper": newspaper_lm()} | of_words
    counts, readings = word_counts(lm.words, [*(sentence for text in words.values() for sentence in text),
                                              *(only_hanzi(model.words) for model in of_words.values())])
    lexicon = readings_of(counts, dict.fromkeys((policy, *POLICIES)), readings)
    forget_sums(folder, [*GRAPH_FILES, LM])  # what can be checked has been
    (folder / LM).unlink(missing_ok=True)
    told = {"lm": lm.model_dump(mode="json"), "tokens_sha256": tokens_hash(tokens)}
    if "prefix" in config.experiment.decode.methods:
        mixed = syllable_lm(tokens[1:], lexicon, counts, syllables, dev_syllables, sentence_length(words.values()),
                            lm.order, of_syllables, lm.prune)
        write_arpa(folder / "syllables.arpa", mixed.model)
        told["syllables"] = _facts(mixed)
    if "wfst" in config.experiment.decode.methods:
        mixed = word_lm(lexicon, counts, words, dev_words, lm.order, of_words, lm.prune)
        write_arpa(folder / "words.arpa", mixed.model)
        build_graph(folder, folder / "words.arpa", lexicon, tokens)
        told["words"] = _facts(mixed)
    write_json(folder / LM, told | {"seconds": time.monotonic() - begin})
    write_sums(folder, [*GRAPH_FILES, LM])
    _tell(folder, lexicon, told)


def _of_set(config: Resolved, part: str) -> Text:
    folder = config.data_dir / part
    pinyin = read_pinyin(folder / "pinyin")
    readings = transcribe({utt: text for utt, text in read_texts(folder, pinyin).items() if text},
                          config.corpus.pinyin)
    return [one.written for one in readings if one.words], list(pinyin.values())


def _of_file(path: Path, policy: Pinyin) -> Text:
    read = transcribe_file(path, policy, "; mend decode.lm.text in the experiment's yaml")
    return [one.written for one in read], [one.syllables for one in read]


def _facts(mixed: Mixed) -> dict:
    return {"ngrams": mixed.model.sizes(), "weights": mixed.weights,
            "dev_perplexity": {name: fit.perplexity for name, fit in mixed.fits.items()},
            "dev_unknown": {name: fit.unknown for name, fit in mixed.fits.items()}}


def _tell(folder: Path, lexicon: Sequence[Readings], told: dict) -> None:
    for name in ("syllables", "words"):
        if name in told:
            weights = ", ".join(f"{source} {weight:.2f}" for source, weight in told[name]["weights"].items())
            perplexity, unknown = (told[name][key].get("mixed") for key in ("dev_perplexity", "dev_unknown"))
            of_dev = f"; perplexity of dev {perplexity:.1f}, {100 * unknown:.1f} % of it unknown" if perplexity else ""
            print(f"{folder}/{name}.arpa: {sum(told[name]['ngrams'])} n-grams of {weights}{of_dev}")
    print(f"{folder}: {counted(len(lexicon), 'word')}")


if __name__ == "__main__":
    run(main)
