"""What a layer asks of each field of its descriptor, and whether the field is wide enough."""

from collections.abc import Mapping

from cosign import CosignError
from rtl.config import CoreConfig
from rtl.fields import NUMBERED, STEPS, widths

SMALLER, OTHER_CORE = "split the layer", "use the sparse core"
NEEDS = {
    "last_pass": ("it takes {} passes", SMALLER),
    "last_tile": ("it takes {} tiles of lanes", SMALLER),
    "last_in_group": ("a group of its filters takes {} passes", SMALLER),
    "last_shifts": ("a tile of it takes {} words of results", SMALLER),
    "last_word": ("a filter of it has {} taps", "raise weight_depth"),
    "last_column": ("its kernel is {} wide", OTHER_CORE),
    "last_row": ("its kernel is {} high", OTHER_CORE),
    "last_channel": ("an output of it reads {} channels", SMALLER),
    "last_phase_x": ("its horizontal stride is {}", OTHER_CORE),
    "last_phase_y": ("its vertical stride is {}", OTHER_CORE),
    "last_slot": ("its kernel takes {} words of the table of tap addresses", "raise tap_depth"),
    "last_mask": ("it takes {} mask words", "raise mask_depth or mask_bits"),
    "last_in_period": ("a channel of it takes {} mask words", "raise tap_depth or mask_bits"),
    "last_read": ("an output of it takes {} reads", SMALLER),
    "last_window": ("an output of it takes {} windows", "raise window_reads"),
}
"""Of each field that counts, less one: what there is so many of, and what to do where it is more
than the field holds."""
DISTANCES = ("group_step", "period_step", *(f"step_{name}" for name in STEPS), *NUMBERED)
"""Fields that are distances in the activation memory, and as wide as its addresses."""


def check_fields(layer: str, values: Mapping[str, int], config: CoreConfig) -> None:
    """Raises CosignError where a field of the descriptor cannot hold its value, and says what for.

    layer : its name
    """
    for name, width in widths(config).items():
        most = (1 << width) - 1
        if 0 <= values[name] <= most:
            continue
        if name in NEEDS:
            what, remedy = NEEDS[name]
            told = f"{what.format(values[name] + 1)}, {name} holds {most + 1} at most; {remedy}"
        else:
            told = f"{name} is {values[name]}, {most} at most can be told; raise act_depth"
        raise CosignError(f"layer {layer!r} does not fit the core: {told}.")
