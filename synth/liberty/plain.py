"""The Liberty text that tools read: cells that may be picked, in one plain spelling.

Yosys, ABC and OpenSTA each have syntax that they refuse or misread. What is written here is what
all three read alike, and what a tool does not need is left out.
"""

import dataclasses
from collections.abc import Mapping

from cosign import CosignError
from synth.liberty import expression
from synth.liberty.cells import LibCell
from synth.liberty.syntax import Group, written

# Current-source and noise models: large, and none of the tools computes delays or power of them.
_UNUSED = (
    "output_current_",
    "receiver_capacitance",
    "ccsn_",
    "input_ccb",
    "output_ccb",
    "noise_",
    "propagated_noise",
    "steady_state_current",
    "hyperbolic_noise",
    "dc_current",
    "dynamic_current",
    "leakage_current",
    "compact_ccs",
    "intrinsic_parasitic",
)
_EXPRESSIONS = ("function", "when", "next_state", "clocked_on", "clear", "preset")


def for_tools(top: Group, name: str, kept: Mapping[str, LibCell]) -> str:
    """The library `top` under another name, with the cells `kept` alone."""
    groups = [_plain(g) for g in top.groups if g.kind != "cell"]
    groups += [_cell(g, kept[g.name]) for g in top.all("cell") if g.name in kept]
    lists = [pair for pair in top.lists if pair[0] not in ("define", "define_group")]
    return "\n".join((*written(Group("library", (name,), top.attributes, lists, groups)), ""))


def _cell(group: Group, cell: LibCell) -> Group:
    """Pins that are inputs or outputs, a group for each, and timing at the edge of the clock."""
    children = []
    for child in group.groups:
        if child.kind != "pin":
            children.append(_plain(child))
            continue
        pin = _plain(child)
        if cell.flip_flop is not None:
            for timing in pin.all("timing"):
                _clocked(timing, cell.flip_flop.falling)
        names = [n for n in pin.args if n in cell.capacitance_ff or n in cell.function]
        children += [dataclasses.replace(pin, args=(name,)) for name in names]
    return dataclasses.replace(group, groups=children)


def _clocked(timing: Group, falling: bool) -> None:
    """The edge of an arc is that of `clocked_on`, which decides what the cell does."""
    edges = ("rising", "falling")
    kind = timing.get("timing_type")
    if kind.endswith("_edge") or kind.startswith(("setup_", "hold_")):
        timing.attributes["timing_type"] = kind.replace(edges[not falling], edges[falling])


def _plain(group: Group) -> Group:
    """A copy with its expressions in one spelling."""
    attributes = dict(group.attributes)
    for key in _EXPRESSIONS:
        if key in attributes:
            try:
                attributes[key] = expression.written(expression.parse(group.get(key)))
            except CosignError:
                attributes[key] = group.get(key)
    groups = [_plain(child) for child in group.groups if not child.kind.startswith(_UNUSED)]
    return dataclasses.replace(group, attributes=attributes, groups=groups)
