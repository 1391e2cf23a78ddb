"""Where MindSpore runs."""

import os
from pathlib import Path

import mindspore as ms

from steps.common.errors import UserError


def set_device(target: str, log_dir: Path) -> None:
    """Graph mode on `CPU`, `GPU` or `Ascend`; what MindSpore leaves of failed compilations goes to `log_dir`.

    Raises UserError where this MindSpore has no such device.
    """
    for variable in ("MS_OM_PATH", "MS_COMPILER_CACHE_PATH"):  # rank_0/ and kernel_meta/; else the current directory
        os.environ.setdefault(variable, str(log_dir.absolute()))
    ms.set_context(mode=ms.GRAPH_MODE)
    if ms.get_context("device_target") == target:  # set_device refuses to be called once anything has run
        return
    try:
        ms.set_device(target)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"device: {target} is not to be had here ({str(error).splitlines()[0]}); "
                        f"set `device: CPU` in the experiment's config") from None
