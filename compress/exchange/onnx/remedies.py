"""What to do about a node that is not read: another operation, or an output before it."""

import shlex
from collections.abc import Collection, Iterable, Mapping

REMEDIES: dict[str, str] = {
    **dict.fromkeys(
        (*("MeanVarianceNormalization", "RMSNormalization"),),
        "train the network with batch normalisation there, whose statistics are constants",
    ),
    **dict.fromkeys(
        ("GRU", "LSTM", "RNN"), "use convolutions over time, since nothing keeps a state"
    ),
    **dict.fromkeys(("LpPool", "GlobalLpPool", "MaxRoiPool"), "use AveragePool or MaxPool"),
}
"""By operations that are not read at all."""


def remedy(
    inputs: Iterable[str],
    sources: Mapping[str, Iterable[str]],
    names: Collection[str],
    instead: str,
) -> str:
    """What a sentence about a node ends with, from "; " on; "" where nothing helps.

    inputs : of the node
    sources : by value, what the node that makes it reads
    names : values that can be asked for as outputs
    instead : another way, or ""
    """
    before = values_before(inputs, sources, names)
    ways = [instead] if instead else []
    if before:
        outputs = " ".join(f"--output {shlex.quote(name)}" for name in before)
        ways.append(f"leave it out with {outputs}")
    elif names and not ways:
        ways.append("choose outputs that do not need it (--output)")
    return f"; {', or '.join(ways)}" if ways else ""


def values_before(
    inputs: Iterable[str], sources: Mapping[str, Iterable[str]], names: Collection[str]
) -> list[str]:
    """The nearest values that can be asked for and from which `inputs` are computed."""
    found: dict[str, None] = {}
    todo, seen = list(inputs), set[str]()
    while todo:
        name = todo.pop(0)
        if name in seen or name not in sources:  # inputs and constants
            continue
        seen.add(name)
        if name in names:
            found[name] = None
        else:
            todo += sources[name]
    return list(found)
