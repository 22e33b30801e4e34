"""Words of the streams as bytes."""

import numpy as np


def to_bytes(fields: np.ndarray, bits: int, last: np.ndarray | None = None) -> np.ndarray:
    """int64 [words, fields] of `bits` bits each to uint8 [words, bytes], little-endian.

    last : bool [words], a bit on top of the fields
    """
    if bits == 8 and last is None:
        return fields.astype(np.uint8)
    planes = (fields[..., None] >> np.arange(bits)) & 1
    flat = planes.reshape(len(fields), -1).astype(np.uint8)
    if last is not None:
        flat = np.concatenate([flat, last[:, None].astype(np.uint8)], axis=1)
    return np.packbits(flat, axis=1, bitorder="little")


def from_bytes(words: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The inverse for two's complement: uint8 [words, bytes] to int8 [words, count]."""
    if bits == 8:
        return words[:, :count].view(np.int8)
    planes = np.unpackbits(words, axis=1, count=bits * count, bitorder="little")
    weights = np.int8(1) << np.arange(bits, dtype=np.int8)
    weights[-1] = -weights[-1]
    return (planes.reshape(len(words), count, bits) * weights).sum(axis=2, dtype=np.int8)
