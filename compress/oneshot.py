"""A compressed file of any built-in network without training: prune, quantise, calibrate.

Magnitude pruning (the projection of §3.3) and the nearest levels (§3.4.2), each once. The accuracy
is that of no retraining; of an untrained network the file has the structure and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from compress import projections, synthetic
from compress.export import assemble, input_spec
from compress.graph import CompressedModel, InputSpec
from compress.models import Network, fold, scale_to_data
from compress.networks import kept_weights, spec_of
from compress.pretrained import load_weights
from cosign import CosignError

CALIBRATION_IMAGES = 16
_BIAS_DEVIATION = 0.1  # of an untrained network, whose activations have a deviation of about 1
_BATCH = 4
# Mean and standard deviation of MNIST and of ImageNet, by channels of the input.
_NORMALISATION = {
    1: ((0.1307,), (0.3081,)),
    3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def compress(
    network: str,
    densities: dict[str, float],
    bits: dict[str, int],
    weights: Path | None = None,
    images: Path | None = None,
    seed: int = 0,
) -> CompressedModel:
    """The compressed model of a built-in network.

    densities, bits : remaining over all weights, and n, by layer
    weights : a state dict; None for an initialisation by `seed`, scaled to the images
    images : folder of images to calibrate on; None for the generated ones of `seed`

    Raises CosignError when weights, images or the seed are unfit.
    """
    if not 0 <= seed < 1 << 63:
        raise CosignError(f"seed is {seed}, must be 0 or more and below 2**63.")
    torch.manual_seed(seed)
    built = Network(spec_of(network)).eval()
    if weights is not None:
        load_weights(built, weights)
    built = fold(built)
    mean, std = _NORMALISATION[built.spec.shape[0]]
    source = input_spec(built.spec.shape, mean, std)
    pixels = calibration_images(built.spec.shape, images, seed)

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(pixels), _BATCH):
            yield normalised(source, pixels[start : start + _BATCH])

    if weights is None:
        scale_to_data(built, next(batches()))
        for bias in built.biases.values():
            torch.nn.init.normal_(bias, std=_BIAS_DEVIATION)
    q = prune_and_quantize(built, kept_weights(built.spec, densities), bits)
    return assemble(built, q, bits, source, batches)


def prune_and_quantize(
    network: Network, keep: dict[str, int], bits: dict[str, int]
) -> dict[str, float]:
    """Change the weights to q * level, `keep` of them per layer; returns q by layer."""
    intervals = {}
    for name, parameter in network.weights.items():
        weight = parameter.detach().numpy()
        mask = projections.prune_mask(weight, keep[name])
        kept = weight[mask]
        q = intervals[name] = projections.best_interval(kept, bits[name])
        weight.fill(0)
        weight[mask] = projections.levels_of(kept, q, bits[name]) * np.float32(q)
    return intervals


def normalised(source: InputSpec, pixels: np.ndarray) -> Tensor:
    """uint8 [N, C, H, W] to what the float network reads."""
    mean, std = (np.array(part, np.float32)[:, None, None] for part in (source.mean, source.std))
    return torch.from_numpy((pixels.astype(np.float32) / 255 - mean) / std)


def calibration_images(shape: tuple[int, int, int], folder: Path | None, seed: int) -> np.ndarray:
    """uint8 [N, C, H, W]: the first images of a folder, or generated ones, scaled and cropped.

    Raises CosignError when the folder is missing, holds no image, or one is unreadable.
    """
    count = CALIBRATION_IMAGES
    if folder is None:
        generated = (synthetic.generate(seed, 0, index) for index in range(count))
        return np.stack(
            [_fit(Image.fromarray(image.transpose(1, 2, 0)), shape) for image in generated]
        )
    if not folder.is_dir():
        raise CosignError(f"{folder} does not exist; --images needs a folder of images.")
    suffixes = set(Image.registered_extensions())
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    if not paths:
        raise CosignError(f"{folder} holds no image; --images needs a folder of images.")
    return np.stack([_read(path, shape) for path in paths[:count]])


def _read(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return _fit(image.convert("RGB"), shape)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CosignError(
            f"cannot read the image {path} ({error}); repair or remove it."
        ) from error


def _fit(image: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    """Scaled to cover height and width, centre cropped: uint8 [C, H, W]."""
    channels, height, width = shape
    fitted = ImageOps.fit(
        image.convert("L" if channels == 1 else "RGB"), (width, height), Image.Resampling.BILINEAR
    )
    return np.asarray(fitted).reshape(height, width, channels).transpose(2, 0, 1)
