"""The beam searches of pyctcdecode and flashlight-text over the same output: tests/benchmarks/decode.py starts it.

In an environment of its own, without the recipe: folder with output.npz and tokens, ARPA file, beam, tokens a frame,
seconds of sound.
"""

import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    folder, arpa, beam, candidates, seconds = sys.argv[1:]
    tokens = Path(folder, "tokens").read_text().split("\n")
    with np.load(Path(folder, "output.npz")) as file:
        matrices = [file[name] for name in file.files]
    for name, make in (("pyctcdecode", pyctcdecode), ("flashlight-text", flashlight)):
        decode = make(arpa, tokens, int(beam), int(candidates))
        begin = time.process_time()
        for matrix in matrices:
            decode(matrix)
        print(f"{name:16} {(time.process_time() - begin) / float(seconds):16.5f} s a second")


def pyctcdecode(arpa: str, tokens: list[str], beam: int, candidates: int):
    """Its beam search; every syllable is a word, as SentencePiece marks it."""
    from pyctcdecode import build_ctcdecoder

    decoder = build_ctcdecoder(["", *(f"▁{token}" for token in tokens[1:])], arpa, unigrams=tokens[1:])
    return lambda matrix: decoder.decode(matrix, beam_width=beam)


def flashlight(arpa: str, tokens: list[str], beam: int, candidates: int):
    """Its decoder without a lexicon, with KenLM over tokens."""
    from flashlight.lib.text.decoder import CriterionType, KenLM, LexiconFreeDecoder, LexiconFreeDecoderOptions
    from flashlight.lib.text.dictionary import Dictionary

    dictionary = Dictionary(tokens)
    options = LexiconFreeDecoderOptions(beam_size=beam, beam_size_token=candidates, beam_threshold=50, lm_weight=1,
                                        sil_score=0, log_add=True, criterion_type=CriterionType.CTC)
    decoder = LexiconFreeDecoder(options, KenLM(arpa, dictionary), 0, 0, [])
    return lambda matrix: decoder.decode(np.ascontiguousarray(matrix, np.float32).ctypes.data, *matrix.shape)


if __name__ == "__main__":
    main()
