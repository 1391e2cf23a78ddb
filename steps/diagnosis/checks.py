"""All checks in their order, and how they are run."""

from collections.abc import Callable, Iterator

from steps.common.errors import UserError
from steps.diagnosis.alignment import check_alignment
from steps.diagnosis.context import Context, Finding
from steps.diagnosis.features import (
    check_audio,
    check_clipped,
    check_constant,
    check_finite,
    check_holes,
    check_scale,
    check_silent,
)
from steps.diagnosis.labels import (
    check_blank,
    check_ids,
    check_lengths,
    check_overlap,
    check_set_lengths,
    check_set_levels,
    check_set_tokens,
)
from steps.diagnosis.network import check_gradients, check_logits, check_loss, check_output, check_relus
from steps.diagnosis.training import check_divergence, check_oscillation, check_overfit, check_plateau, check_rate

Check = Callable[[Context], Finding]
ON_DATA: dict[str, Check] = {
    "blank": check_blank, "ids": check_ids, "labels fit": check_lengths,
    "finite": check_finite, "constant": check_constant, "silent": check_silent, "holes": check_holes,
    "features clipped": check_clipped, "scale": check_scale, "audio": check_audio,
    "set lengths": check_set_lengths, "set levels": check_set_levels, "set tokens": check_set_tokens,
    "overlap": check_overlap,
    "divergence": check_divergence, "oscillation": check_oscillation, "plateau": check_plateau,
}
ON_NETWORK: dict[str, Check] = {
    "loss": check_loss, "logits": check_logits, "output": check_output, "alignment": check_alignment,
    "relus": check_relus, "gradients": check_gradients, "overfit": check_overfit, "learning rate": check_rate,
}
BEFORE_NETWORK = ("blank", "ids", "labels fit", "finite")  # whose errors leave nothing to be trained


def run_checks(context: Context) -> Iterator[Finding]:
    """Run all checks, those of the data first, and yield each finding. A file that cannot be read is an error."""
    errors = set()
    for name, check in ON_DATA.items():
        finding = _call(name, check, context)
        if finding.severity == "error":
            errors.add(name)
        yield finding
    obstacles = [name for name in BEFORE_NETWORK if name in errors]
    for name, check in ON_NETWORK.items():
        if obstacles:
            yield Finding(name, "skipped", f"cannot be run before the error of {', '.join(obstacles)} is mended")
        else:
            yield _call(name, check, context)


def _call(name: str, check: Check, context: Context) -> Finding:
    try:
        return check(context)
    except UserError as error:
        return Finding(name, "error", str(error))
