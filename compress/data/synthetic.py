"""A procedurally generated 227 x 227 RGB set of twelve classes, for running AlexNet anywhere.

It is not ImageNet and its accuracies say nothing about ImageNet. A class is a texture or a
shape; colours, position, scale, orientation, contrast and noise are random, so that the mean
colour of an image tells nothing. Image i of a split is a function of (seed, split, i) alone.
"""

from collections.abc import Callable

import numpy as np

SIZE = 227
# Pixel coordinates in [-1, 1], float32 [1, SIZE] and [SIZE, 1].
_X = np.linspace(-1, 1, SIZE, dtype=np.float32)[None, :]
_Y = np.linspace(-1, 1, SIZE, dtype=np.float32)[:, None]


def _wave(phase: np.ndarray) -> np.ndarray:
    """A soft square wave in 0..1."""
    return np.clip(0.5 + 1.5 * np.sin(phase), 0, 1)


def _inside(distance: np.ndarray) -> np.ndarray:
    """1 where a signed distance is negative, with an edge two pixels wide."""
    return np.clip(0.5 - distance * (SIZE / 4), 0, 1)


def _rotated(rng: np.random.Generator, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    angle = np.float32(rng.uniform(low, high))
    return np.cos(angle) * _X + np.sin(angle) * _Y, np.cos(angle) * _Y - np.sin(angle) * _X


def _placed(rng: np.random.Generator, tilt: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Coordinates of a randomly placed, tilted shape, and its radius."""
    u, v = _rotated(rng, -tilt, tilt)
    du, dv = rng.uniform(-0.35, 0.35, 2).astype(np.float32)
    return u - du, v - dv, float(rng.uniform(0.3, 0.65))


def _stripes(rng: np.random.Generator, centre: float) -> np.ndarray:
    u, _ = _rotated(rng, centre - 0.2, centre + 0.2)
    return _wave(u * rng.uniform(12, 40) + rng.uniform(0, 6.28))


def _horizontal(rng: np.random.Generator) -> np.ndarray:
    return _stripes(rng, np.pi / 2)


def _vertical(rng: np.random.Generator) -> np.ndarray:
    return _stripes(rng, 0)


def _diagonal(rng: np.random.Generator) -> np.ndarray:
    return _stripes(rng, np.pi / 4 * (1 if rng.random() < 0.5 else -1))


def _checkerboard(rng: np.random.Generator) -> np.ndarray:
    u, v = _rotated(rng, -0.3, 0.3)
    pitch, a, b = rng.uniform(10, 30), *rng.uniform(0, 6.28, 2)
    return np.clip(0.5 + 2 * np.sin(u * pitch + a) * np.sin(v * pitch + b), 0, 1)


def _rings(rng: np.random.Generator) -> np.ndarray:
    u, v, _ = _placed(rng, 0.0)
    return _wave(np.hypot(u, v) * rng.uniform(14, 40) + rng.uniform(0, 6.28))


def _spokes(rng: np.random.Generator) -> np.ndarray:
    u, v, _ = _placed(rng, 0.0)
    return _wave(np.arctan2(v, u) * int(rng.integers(5, 13)) + rng.uniform(0, 6.28))


def _dots(rng: np.random.Generator) -> np.ndarray:
    u, v = _rotated(rng, -0.4, 0.4)
    pitch, a, b = rng.uniform(10, 25), *rng.uniform(0, 6.28, 2)
    lattice = np.cos(u * pitch + a) + np.cos(v * pitch + b)
    return np.clip((lattice - rng.uniform(0.6, 1.0)) * 3, 0, 1)


def _clouds(rng: np.random.Generator) -> np.ndarray:
    field = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(6):
        ku, kv = rng.normal(0, 5, 2)
        field += np.sin(ku * _X + kv * _Y + rng.uniform(0, 6.28))
    return np.clip(0.5 + field / 5, 0, 1)


def _disc(rng: np.random.Generator) -> np.ndarray:
    u, v, radius = _placed(rng, 0.0)
    return _inside(np.hypot(u, v) - radius)


def _frame(rng: np.random.Generator) -> np.ndarray:
    u, v, radius = _placed(rng, 0.5)
    return _inside(np.abs(np.maximum(np.abs(u), np.abs(v)) - radius) - radius * 0.2)


def _triangle(rng: np.random.Generator) -> np.ndarray:
    u, v, radius = _placed(rng, 0.5)
    if rng.random() < 0.5:
        v = -v
    return _inside(np.maximum(np.abs(u) * 0.866 + v * 0.5, -v) - radius * 0.6)


def _cross(rng: np.random.Generator) -> np.ndarray:
    u, v, radius = _placed(rng, 0.5)
    u, v = np.abs(u), np.abs(v)
    arm = np.minimum(np.maximum(u - radius, v), np.maximum(v - radius, u))
    return _inside(np.maximum(arm, np.minimum(u, v)) - radius * 0.2)


PATTERNS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "horizontal stripes": _horizontal,
    "vertical stripes": _vertical,
    "diagonal stripes": _diagonal,
    "checkerboard": _checkerboard,
    "rings": _rings,
    "spokes": _spokes,
    "dots": _dots,
    "clouds": _clouds,
    "disc": _disc,
    "frame": _frame,
    "triangle": _triangle,
    "cross": _cross,
}
CLASSES = tuple(PATTERNS)


def generate(seed: int, split: int, index: int) -> np.ndarray:
    """Image `index` of a split: uint8 [3, 227, 227]. Its label is index % 12."""
    rng = np.random.default_rng([seed, split, index])
    field = PATTERNS[CLASSES[index % len(CLASSES)]](rng).astype(np.float32)
    colours = rng.uniform(30, 225, (2, 3)).astype(np.float32)
    away = colours[1] - colours[0]
    distance = float(np.linalg.norm(away))
    if distance < 90:  # keep the pattern visible
        colours[1] = colours[0] + (away + 1) * (90 / max(distance, 1))
    noise = rng.integers(0, 256, (3, SIZE, SIZE), np.uint8).astype(np.float32) - 127.5
    noise *= rng.uniform(0.05, 0.35)
    image = colours[0][:, None, None] + field * (colours[1] - colours[0])[:, None, None] + noise
    return np.clip(image, 0, 255).astype(np.uint8)
