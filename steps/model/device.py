"""Where MindSpore runs."""

import mindspore as ms

from steps.common.errors import UserError


def set_device(target: str) -> None:
    """Graph mode on `CPU`, `GPU` or `Ascend`. Raises UserError where this MindSpore has no such device."""
    ms.set_context(mode=ms.GRAPH_MODE)
    if ms.get_context("device_target") == target:  # set_device refuses to be called once anything has run
        return
    try:
        ms.set_device(target)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"device: {target} is not to be had here ({str(error).splitlines()[0]}); "
                        f"set `device: CPU` in the experiment's config") from None
