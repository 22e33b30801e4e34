"""Images of a NumPy file, as a network reads them."""

from pathlib import Path

import numpy as np

from compress.model.activations import check_values
from compress.model.graph import CompressedModel
from cosign import CosignError


def read_images(
    model: CompressedModel, file: Path, count: int | None = None
) -> tuple[np.ndarray, str]:
    """(int8 [N, C, H, W], what they are) of uint8 pixels, or int8 as the machine reads them.

    count : the first so many, all if None

    Raises CosignError when the file cannot be read, or does not fit the model.
    """
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise CosignError(f"cannot read {file}: {error.strerror or error}.") from error
    except (ValueError, EOFError) as error:
        raise CosignError(f"{file} is not a NumPy array ({error}); write it again.") from error
    if not isinstance(array, np.ndarray) or array.dtype not in (np.uint8, np.int8):
        raise CosignError(f"{file} must hold uint8 pixels or int8 activations [N, C, H, W].")
    if array.shape[1:] != model.input.shape or not len(array):
        raise CosignError(
            f"{file} holds an array of {array.shape}, {model.name} reads images [N, "
            f"{', '.join(map(str, model.input.shape))}]."
        )
    count = count or len(array)
    if count > len(array):
        raise CosignError(f"{file} holds {len(array)} images, --images asks for {count}.")
    chosen = np.ascontiguousarray(array[:count])
    images = model.input.quantize(chosen) if chosen.dtype == np.uint8 else chosen
    check_values(images, model.act_bits, str(file))
    return images, f"the first {count} of {len(array)} images of {file.name}"
