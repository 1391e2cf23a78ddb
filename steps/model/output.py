"""The output layer: from hidden vectors to a logit a token."""

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from steps.text.syllables import split


def make_output(kind: str, hidden: int, tokens: list[str], kernels) -> nn.Cell:
    """A layer (batch, frames, hidden) → (batch, frames, len(tokens)), `plain` or `factored`."""
    if kind == "plain":
        return nn.Dense(hidden, len(tokens))
    return FactoredOutput(hidden, tokens, kernels)


def row_names(kind: str, tokens: list[str]) -> list[str] | list[tuple[str, str]]:
    """What the rows of the layer's weight and bias stand for: tokens, or in a factored one (kind of part, part)."""
    if kind == "plain":
        return tokens
    return list(dict.fromkeys(part for token in tokens for part in _parts(token)))


def syllable_parts(tokens: list[str]) -> np.ndarray:
    """The parts that each token's row is the sum of.

    Returns int32 (4, len(tokens)): for each token a row number for its initial, final, tone, and final with tone,
    which together are the token's alone. Row numbers count over all parts of all kinds; <blk> has parts of its own.
    """
    rows = {part: number for number, part in enumerate(row_names("factored", tokens))}
    parts = [[rows[part] for part in _parts(token)] for token in tokens]
    return np.array(parts, np.int32).T


def _parts(token: str) -> list[tuple[str, str]]:
    if token == "<blk>":
        return [(kind, token) for kind in ("initial", "final", "tone", "final_tone")]
    initial, final, tone = split(token)
    return [("initial", initial), ("final", final), ("tone", tone), ("final_tone", final + tone)]


class FactoredOutput(nn.Cell):
    """A token's row is the sum of rows for its initial, final, tone, and final with tone.

    Rare syllables so share what they have in common with others, and one that training never saw still has the rows of
    its parts. Rows for whole syllables beside them would learn the frequent ones by heart, at the cost of the rare.
    """

    def __init__(self, hidden: int, tokens: list[str], kernels):
        super().__init__()
        parts = syllable_parts(tokens)
        kinds, rows = len(parts), int(parts.max()) + 1
        bound = 1 / np.sqrt(hidden * kinds)
        self.parts = Tensor(parts)
        self.sum_rows = kernels.sum_rows()
        self.product = ops.MatMul(transpose_b=True)
        rng = np.random.default_rng(0)
        self.weight = Parameter(Tensor(rng.uniform(-bound, bound, (rows, hidden)).astype(np.float32)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(rows, np.float32)), name="bias")

    def construct(self, x):
        weight = self.sum_rows(self.weight, self.parts)
        bias = self.sum_rows(self.bias.expand_dims(1), self.parts)
        rows = self.product(x.reshape(-1, x.shape[-1]), weight) + bias.reshape(-1)
        return rows.reshape(*x.shape[:-1], -1)
