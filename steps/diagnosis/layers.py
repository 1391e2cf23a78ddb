"""Checks by layer: ReLUs that let nothing through, gradients that vanish or explode."""

from collections.abc import Mapping

import numpy as np

from steps.diagnosis.activations import Activations
from steps.diagnosis.context import Context
from steps.diagnosis.finding import Finding, graded, percent
from steps.diagnosis.plots import gradient_figure, histogram_figure

VANISHED = 1e-4  # of the largest layer's gradient
EXPLODED = 1e3


def check_relus(context: Context) -> Finding:
    """No layer's ReLUs are dead, at the start or, where there is a checkpoint, in the trained network."""
    context.bench.load()
    activations = context.bench.activations()
    finding = judge_relus(activations)
    figure = histogram_figure(activations, f"Activations by layer, {context.bench.trained or 'before training'}")
    return finding._replace(figures=[figure])


def judge_relus(activations: Mapping[str, Activations]) -> Finding:
    """A channel is dead that is 0 for all that the batches hold."""
    dead = {name: float(np.mean(~layer.alive)) for name, layer in activations.items()}
    passed = [float(np.mean(layer.values > 0)) for layer in activations.values()]
    worst = max(dead, key=dead.get)
    evidence = [f"dead channels: {percent(dead[worst])} in {worst}, {percent(np.mean(list(dead.values())))} on average",
                f"values above 0: {percent(min(passed))} to {percent(max(passed))} by layer"]
    broken = [name for name, layer in activations.items() if not layer.finite]
    if broken:
        return Finding("relus", "error", f"activations are NaN or infinite from layer {broken[0]} on", evidence,
                       "see the checks of features; lower the learning rate")
    severity = graded(dead[worst], 0.5, 0.9)
    if severity == "ok":
        return Finding("relus", "ok", f"the ReLUs of all {len(dead)} layers are alive", evidence)
    return Finding("relus", severity, f"{percent(dead[worst])} of the channels of {worst} are dead: 0 whatever comes",
                   evidence, "lower the learning rate or lengthen warmup_steps (large steps kill ReLUs for good), then "
                   "train anew; keep batch norm before them; before training: check the scale of the features")


def check_gradients(context: Context) -> Finding:
    """Gradients reach all layers, and none dwarfs the others."""
    context.bench.load()
    norms = context.bench.gradient_norms()
    clip = context.config.experiment.train.optimizer.clip_norm
    finding = judge_gradients(norms, clip)
    figure = gradient_figure(norms, f"Gradient norms by weight, {context.bench.trained or 'before training'}")
    return finding._replace(figures=[figure])


def judge_gradients(norms: Mapping[str, tuple[float, float]], clip_norm: float) -> Finding:
    """`norms`: (gradient's, weight's) by weight from the input to the output; weights named `….weight` are judged."""
    matrices = {name: pair for name, pair in norms.items() if name.endswith("weight")}
    gradients = {name: gradient for name, (gradient, _) in matrices.items()}
    total = float(np.sqrt(sum(gradient**2 for gradient, _ in norms.values())))
    smallest, largest = min(gradients, key=gradients.get), max(gradients, key=gradients.get)
    evidence = [f"norm of the whole gradient: {total:.3g}" + (f"; clip_norm is {clip_norm:g}" if clip_norm else ""),
                f"largest in {largest} ({gradients[largest]:.2g}), smallest in {smallest} ({gradients[smallest]:.2g})"]
    if not np.isfinite(total):
        bad = next(name for name, (gradient, _) in norms.items() if not np.isfinite(gradient))
        return Finding("gradients", "error", f"the gradient of {bad} is NaN or infinite", evidence,
                       "see the checks of features and of the loss")
    if gradients[largest] == 0:
        return Finding("gradients", "error", "there is no gradient at all", evidence, "see the check of the loss")
    vanished = [name for name, gradient in gradients.items() if gradient < VANISHED * gradients[largest]]
    if vanished:
        severity = "error" if len(vanished) > len(gradients) / 4 else "warning"
        return Finding("gradients", severity,
                       f"gradients vanish in {len(vanished)} of {len(gradients)} layers, such as {vanished[0]}",
                       evidence, "take residual blocks, keep batch norm in every layer, lessen the depth; see "
                       "the check of ReLUs")
    first, *_, last = gradients.values()
    if total > EXPLODED or first > EXPLODED * max(last, 1e-12):
        return Finding("gradients", "warning" if clip_norm else "error", "gradients explode towards the input",
                       evidence, "set clip_norm (5), keep batch norm in every layer, check the scale of the features")
    return Finding("gradients", "ok", f"gradients reach all {len(gradients)} layers", evidence)
