"""Which layers of a network obey which N:M pattern."""

from pathlib import Path

from compress.model.nodes import NetworkSpec
from compress.model.pattern import Pattern, Patterns
from compress.zoo import density
from cosign import CosignError


def asked(spec: NetworkSpec, text: str) -> dict[str, Pattern]:
    """Of "2:4", every layer that it prunes; of a JSON file {layer: "2:4"}, those that it names.

    A layer whose filters see no more channels than may stay, as a depthwise one, is left dense.
    Raises CosignError on what is neither, and where no layer would be pruned.
    """
    path = Path(text)
    if path.suffix == ".json" or path.is_file():
        given = {}
        for name, value in density.layers(spec, path, "pattern").items():
            if not isinstance(value, str):
                raise CosignError(f'{path}: the pattern of {name} is {value!r}, write "2:4".')
            given[name] = Pattern.parse(value)
    else:
        given = dict.fromkeys(spec.geometries, Pattern.parse(text))
    pruned = {
        name: pattern
        for name, pattern in given.items()
        if pattern.kept(spec.geometries[name]) < spec.geometries[name].weights
    }
    if not pruned:
        raise CosignError(f"{text} prunes no layer of {spec.name}: none sees as many channels.")
    return pruned


def told(spec: NetworkSpec, patterns: Patterns) -> str:
    """What the patterns do to the network, in a sentence."""
    weights = sum(geometry.weights for geometry in spec.geometries.values())
    left = sum(density.kept_weights(spec, density.uniform(spec, 1), patterns).values())
    names = sorted({str(pattern) for pattern in patterns.values()})
    padded = [name for name, pattern in patterns.items() if pattern.pads(spec.geometries[name])]
    dense = [name for name in spec.geometries if name not in patterns]
    words = [f"{', '.join(names)} leaves {left:,} of {weights:,} weights"]
    if padded:
        words.append(f"padded to whole groups of channels: {', '.join(padded)}")
    if dense:
        words.append(f"dense: {', '.join(dense)}")
    return "; ".join(words)
