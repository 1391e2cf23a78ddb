"""Training steps of a case of train_step.py in PyTorch: channels-last, fused AdamW, a bare loop over one batch.

    python tests/benchmarks/train_step_pytorch.py CASE.json PRECISION STEPS

PRECISION: fp32 or bf16 (autocast). Prints, in JSON, the version, and seconds and processor seconds of each step.
"""

import contextlib
import json
import math
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


def conv(inner: int, outer: int, stride=1, kernel=(3, 3)) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, kernel, stride, [size // 2 for size in kernel], bias=False)


class NormReLU(nn.Sequential):
    def __init__(self, channels: int):
        super().__init__(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class ResidualUnit(nn.Module):
    def __init__(self, inner: int, outer: int, stride: list[int], kernel1: list[int], kernel2: list[int]):
        super().__init__()
        self.norm1, self.conv1 = NormReLU(inner), conv(inner, outer, stride, kernel1)
        self.norm2, self.conv2 = NormReLU(outer), conv(outer, outer, kernel=kernel2)
        self.shortcut = conv(inner, outer, stride, (1, 1)) if inner != outer or stride != [1, 1] else None

    def forward(self, x):
        y = self.norm1(x)
        return (x if self.shortcut is None else self.shortcut(y)) + self.conv2(self.norm2(self.conv1(y)))


class Factored(nn.Module):
    def __init__(self, hidden: int, parts: list[list[int]]):
        super().__init__()
        self.register_buffer("parts", torch.tensor(parts))
        rows, bound = int(self.parts.max()) + 1, 1 / math.sqrt(hidden * len(parts))
        self.weight = nn.Parameter(torch.empty(rows, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(rows))

    def forward(self, x):
        return functional.linear(x, self.weight[self.parts].sum(0), self.bias[self.parts].sum(0))


def stack(model: dict) -> nn.Sequential:
    cells, channels = [], 1
    for number, block in enumerate(model["blocks"]):
        for layer in range(block["layers"]):
            stride, kernel = (block["stride"], [3, 3]) if layer == 0 else ([1, 1], block["kernel"])
            if block["residual"]:
                cells.append(ResidualUnit(channels, block["channels"], stride, kernel, block["kernel"]))
            else:
                cells += [conv(channels, block["channels"], stride, kernel), NormReLU(block["channels"])]
            channels = block["channels"]
        if block["residual"] and not any(after["residual"] for after in model["blocks"][number + 1:number + 2]):
            cells.append(NormReLU(channels))
        if block["pool"] != [1, 1]:
            cells.append(nn.MaxPool2d(block["pool"]))
    return nn.Sequential(*cells, *([nn.BatchNorm2d(channels)] if model["final_norm"] else []))


class Network(nn.Module):
    def __init__(self, case: dict):
        super().__init__()
        model, width = case["model"], case["width"]
        self.stack = stack(model)
        dense = []
        for size in model["dense"]:
            dense += [nn.Linear(width, size), nn.ReLU(inplace=True)]
            width = size
        self.dense = nn.Sequential(*dense)
        factored = model["output"] == "factored"
        self.output = Factored(width, case["parts"]) if factored else nn.Linear(width, case["tokens"])

    def forward(self, x):
        x = self.stack(x[:, None].to(memory_format=torch.channels_last))
        return self.output(self.dense(x.permute(0, 2, 3, 1).flatten(2)))


def main() -> None:
    case, precision, steps = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(case["threads"])
    network = Network(case).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01, fused=True)
    feats = torch.randn(case["batch"], case["frames"], case["bins"])
    labels = torch.randint(1, case["tokens"], (case["batch"], case["labels"]))
    frames = torch.full((case["batch"],), case["out_frames"])
    counts = torch.full((case["batch"],), case["labels"])
    cast = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
    seconds = []
    for _ in range(steps):
        begin, processor = time.perf_counter(), time.process_time()
        with cast:
            logits = network(feats)
        log_probs = logits.float().log_softmax(-1).transpose(0, 1)
        loss = functional.ctc_loss(log_probs, labels, frames, counts, reduction="sum") / counts.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        loss.item()
        seconds.append((time.perf_counter() - begin, time.process_time() - processor))
    print(json.dumps({"seconds": seconds, "version": f"PyTorch {torch.__version__}"}))


if __name__ == "__main__":
    main()
