"""The built library, and its functions as MindSpore's operators."""

import ctypes
import functools
import os

from mindspore import ops

from steps.common.errors import UserError
from steps.model.onednn.build import available, reason


def operator(name: str, out_shape, out_dtype, bprop=None) -> ops.Custom:
    """The library's function `name`; `out_shape` and `out_dtype` are functions of its inputs' shapes and types."""
    return ops.Custom(f"{library()}:{name}", out_shape, out_dtype, "aot", bprop=bprop)


@functools.cache
def library() -> str:
    """The library's path, once loaded. Raises UserError where it is not built."""
    path = available()
    if path is None:
        raise UserError(f"the oneDNN kernels are not there: {reason()}")
    # MindSpore wants to be told which folder operators may be loaded from.
    os.environ.setdefault("MS_CUSTOM_AOT_WHITE_LIST", os.path.dirname(path))
    ctypes.CDLL(path).use_all_instructions()
    return path
