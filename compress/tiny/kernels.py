"""The training kernels of kernels.cpp, compiled on first use for the processor at hand."""

import ctypes
import functools
from pathlib import Path

import numpy as np

from cosign import native

_SOURCE = Path(__file__).with_name("kernels.cpp")
_FLAGS = ("-ffast-math", "-fno-finite-math-only")


class Problem(ctypes.Structure):
    """`struct Problem` of kernels.cpp; its comments say what the fields are."""

    _fields_ = (
        ("widths", ctypes.c_void_p),
        ("ptr", ctypes.c_void_p),
        ("off", ctypes.c_void_p),
        ("images", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("soft", ctypes.c_void_p),
        ("scale", ctypes.c_float),
        ("shift", ctypes.c_float),
        ("share", ctypes.c_float),
        ("temperature", ctypes.c_float),
    )


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled kernels. Raises CosignError when g++ is missing or fails."""
    # Linked without -ffast-math: with it the library would switch subnormal numbers off for the
    # whole process as soon as it is loaded.
    loaded = native.library(_SOURCE, _FLAGS)
    loaded.gradient.restype = loaded.train.restype = ctypes.c_double
    return loaded


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """The array's memory; the caller keeps the array alive."""
    if not array.flags.c_contiguous:
        raise ValueError("kernels read contiguous arrays only")
    return ctypes.c_void_p(array.ctypes.data)


def warp(images: np.ndarray, maps: np.ndarray, scale: float, shift: float) -> np.ndarray:
    """uint8 [N, 28, 28] moved by affine `maps` float32 [N, 6]: float32, pixel * scale - shift."""
    out = np.empty((len(images), 28, 28), np.float32)
    library().warp(
        pointer(images),
        pointer(maps),
        len(images),
        ctypes.c_float(scale),
        ctypes.c_float(shift),
        pointer(out),
    )
    return out
