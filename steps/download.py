"""Download a corpus into the folder that conf/corpora/<corpus>.yaml names. Run again, it goes on where it stopped."""

import argparse
from pathlib import Path

from steps.common.errors import UserError, run
from steps.common.process import output_lock
from steps.config.load import load_corpus
from steps.corpus.download import fetch_all
from steps.corpus.find import load_module, module_options


def main() -> None:
    """Parse the command line and fetch the `ARCHIVES` of the corpus' module, or let its `download` do the work."""
    parser = argparse.ArgumentParser(prog="python -m steps.download", description=__doc__)
    parser.add_argument("corpus", help="a name in conf/corpora/")
    args = parser.parse_args()
    corpus = load_corpus(args.corpus)
    module = load_module(corpus.module)
    if not hasattr(module, "download") and not hasattr(module, "ARCHIVES"):
        raise UserError(f"{args.corpus}: there is nothing to download")
    if corpus.root is None:
        raise UserError(f"conf/corpora/{args.corpus}.yaml: root: missing; write the folder to download to")
    options = module_options(module, corpus, args.corpus)
    with output_lock(Path("data") / args.corpus, "download"):
        if hasattr(module, "download"):
            module.download(corpus, options)
        else:
            fetch_all(module.ARCHIVES, Path(corpus.root))


if __name__ == "__main__":
    run(main)
