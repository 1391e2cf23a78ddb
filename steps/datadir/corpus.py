"""The modules of local/, one a corpus, and what they hand to stage 1."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from steps.common.errors import UserError
from steps.config.load import CONF, check
from steps.config.schema import Corpus, Strict
from steps.datadir.utterance import Utterance


def load_module(name: str) -> ModuleType:
    """local/<name>.py. Raises UserError where there is none."""
    if importlib.util.find_spec(f"local.{name}") is None:
        there = sorted(path.stem for path in Path("local").glob("*.py") if path.stem != "__init__")
        raise UserError(f"module: there is no local/{name}.py; local/ has {', '.join(there)}")
    return importlib.import_module(f"local.{name}")


def module_options(module: ModuleType, corpus: Corpus, name: str) -> Strict:
    """The corpus' `options:`, checked against the module's own schema."""
    return check(corpus.options, module.Options, f"{CONF / 'corpora' / name}.yaml: options")


def find_utterances(corpus: Corpus, name: str, corpus_dir: Path) -> dict[str, list[Utterance]]:
    """The sets that the config asks for, as the corpus' module finds them. Raises UserError for one that is absent."""
    module = load_module(corpus.module)
    found = module.prepare(corpus, module_options(module, corpus, name), corpus_dir)
    for part in corpus.sets:
        if not found.get(part):
            raise UserError(f"conf/corpora/{name}.yaml: sets: {part}: there is no such set, or it is empty; "
                            f"local/{corpus.module}.py finds {', '.join(key for key in found if found[key])}")
    return {part: sorted(found[part]) for part in corpus.sets}
