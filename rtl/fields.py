"""The fields of a layer's descriptor and their widths, for whom needs no gates."""

from rtl.config import COUNT_BITS, CoreConfig

STEPS = ("column", "phase_x", "row", "phase_y", "channel")
NUMBERED = tuple(f"step_{n}" for n in range(1, 32))
"""The steps of the "window" coding, as many as there can be."""
TAPS = tuple(f"tap_{n}" for n in range(32))
"""Its taps where they are listed, likewise."""


def widths(config: CoreConfig) -> dict[str, int]:
    """The layer descriptor, held stable while the core is busy. Counts are stored less one.

    `new_map` acts in the cycle of the start; all else no sooner than in the one behind it, and so
    has two cycles to arrive (`synth.sta`).

    new_map : wait for a map of the activation stream and take it; 0 uses the last one again
    last_pass : filter groups (of `filters` filters) of the layer
    last_tile : tiles of a pass
    last_in_group : passes that read the same input channels
    group_step : bytes between the input channels of one convolution group and the next (here and
        below, in `sparse-nm` elements of `nm_group` channels)
    last_shifts : drain cycles of a pass's last tile
    relu : no output is negative
    Dense cores also step through their taps:
    last_word : taps, channels x kernel area (in `sparse-nm` groups of channels; not `dense-packed`)
    last_column, last_row, last_channel : kernel width, kernel height, channels of a group
    last_phase_x, last_phase_y : horizontal, vertical stride
    step_column, step_phase_x : to the next column, in the same / the first phase plane
    step_row, step_phase_y : to the first column of the next row, likewise
    step_channel : to the first tap of the next channel; bytes, two's complement, with a bit more
        than an address, so that a step that leaves the memory is seen
    Cores with a table of tap addresses repeat it every few channels, a period:
    last_slot : words of the table
    period_step : bytes from one period's channels to the next's
    last_mask : mask words of a filter (bitmask), those that are not stored as well, or of a pass
        (`dense-packed`)
    last_in_period : mask words of a period (bitmask)
    last_read, last_window : reads of a tile, and windows of a tile (`sparse-rows`)
    step_1, step_2, ... : distances between the windows of the "window" coding, by their numbers
    tap_0, tap_1, ... : how far a tap lies behind the one before, by their numbers, where listed
    """
    slot_bits = max(1, (config.tap_depth - 1).bit_length())
    fields: dict[str, int] = {
        "new_map": 1,
        "last_pass": COUNT_BITS,
        "last_tile": COUNT_BITS,
        "last_in_group": COUNT_BITS,
        "group_step": config.address_bits,
        "last_shifts": max(1, (config.tile_shifts - 1).bit_length()),
        "relu": 1,
    }
    if config.dense:
        if not config.packed:
            fields |= {"last_word": max(1, (config.weight_depth - 1).bit_length())}
        fields |= {"last_channel": COUNT_BITS}
        fields |= {f"last_{name}": 8 for name in ("column", "row", "phase_x", "phase_y")}
        fields |= {f"step_{name}": config.address_bits + 1 for name in STEPS}
    if config.table:
        fields |= {"last_slot": slot_bits, "period_step": config.address_bits}
    if config.masked:
        stored = max(1, (config.mask_depth - 1).bit_length())
        fields |= {"last_mask": stored + config.run_bits}
    if config.masked and config.table:
        fields |= {"last_in_period": slot_bits}
    if config.core == "sparse-rows":
        fields |= {"last_read": COUNT_BITS, "last_window": COUNT_BITS}
    if config.stepped:
        several = NUMBERED[: (1 << config.step_bits) - 1]
        fields |= dict.fromkeys(several, config.address_bits)
        if config.listed:
            fields |= dict.fromkeys(TAPS[: 1 << config.step_bits], config.tap_bits)
    return fields
