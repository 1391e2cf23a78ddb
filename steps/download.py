"""Download a corpus into the folder that conf/corpora/<corpus>.yaml names. Run again, it goes on where it stopped."""

import argparse

from steps.common.errors import UserError, run
from steps.config.load import load_corpus
from steps.corpus.find import load_module, module_options


def main() -> None:
    """Parse the command line and let the corpus' module download."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", help="a name in conf/corpora/")
    args = parser.parse_args()
    corpus = load_corpus(args.corpus)
    module = load_module(corpus.module)
    if not hasattr(module, "download"):
        raise UserError(f"{args.corpus}: there is nothing to download")
    if corpus.root is None:
        raise UserError(f"conf/corpora/{args.corpus}.yaml: root: missing; write the folder to download to")
    module.download(corpus, module_options(module, corpus, args.corpus))


if __name__ == "__main__":
    run(main)
