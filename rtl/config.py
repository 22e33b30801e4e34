"""CoreConfig: everything a generated core is a function of."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from compress.model import activations
from cosign import CosignError, values
from rtl import pattern

SCHEMA = 2
CORES = ("sparse", "dense-scalar", "dense-2d", "dense-packed", "sparse-rows", "sparse-nm")
CODINGS = ("relative", "absolute", "bitmask", "window")
FASTEST_NS, SLOWEST_NS = 1e-3, 1e6
WIDEST = 1 << 12
"""Banks, and bytes of one."""
COUNT_BITS = 16
"""Of the counts in a layer descriptor (rtl.layer)."""
SHIFT_BITS = 6
"""Of a filter's shift, less one: 0..46."""
MOST_IN_ROWS = 8
"""Bytes from the first of a read within which the taps lie that it serves in `sparse-rows`."""


_RANGES = (
    ("lanes", 1, 256),
    ("filters", 1, 64),
    ("tiles", 1, 16),
    ("weight_bits", 1, 8),
    ("act_bits", activations.FEWEST, activations.MOST),
    ("index_bits", 1, 24),
    ("mask_bits", 2, 64),
    ("tap_depth", 2, 1 << 12),
    ("mask_depth", 2, 1 << 18),
    ("window_reads", 1, 8),
    ("window_span", 1, 64),
    ("acc_bits", 12, 40),
    ("weight_depth", 2, 1 << 22),
    ("act_depth", 2, 1 << 22),
    ("act_buffers", 1, 2),
    ("drain", 1, 64),
    ("mul_bits", 8, 16),
    ("pipeline", 0, 2),
    ("nm_group", 2, 8),
    ("gate_zeros", 0, 1),
    ("rest_sums", 0, 1),
    ("streams", 1, 8),
    ("beats", 1, 8),
    ("step_bits", 1, 5),
    ("listed", 0, 1),
    ("run_bits", 0, 4),
    ("windows", 0, 1),
)
"""Smallest and largest value of the fields that are whole numbers, by name."""


@dataclass(frozen=True)
class CoreConfig:
    """One machine. Equal configs generate equal Verilog; `hash` names build directories.

    Parameters
    ----------
    core : "sparse" decodes one non-zero a cycle and broadcasts it to all lanes;
        "dense-scalar" steps through every (c, r, s) instead; "dense-2d" does so for several
        filters at once, and "dense-packed" too, but its zeros are not stored; "sparse-rows" has a
        decoder for each of several filters; "sparse-nm" steps through groups of neighbouring
        channels, of which each filter keeps a few
    lanes : output pixels computed in parallel by a tile, 1..256
    filters : filters computed on the same activations, in parallel; in the sparse core with the
        "window" coding they take turns on a window, in its other codings and in `dense-scalar`
        there is 1
    tiles : lockstep copies of lanes and activation memory on disjoint stripes of the map
    weight_bits : n of the widest levels that the core takes, 1..8; the operand that carries
        them has `operand_bits` bits, because +2**(n-1) does not fit n bits
    act_bits : activations, two's complement, 4..8: those of the networks that the core executes.
        A byte of the activation memory, of reads, rows and outputs is one of them, whatever its
        bits
    coding : how the sparse core's stream tells where a weight is: "relative" (distance to the
        previous one, fillers for long ones), "absolute" (address), "bitmask" (a bit per column) or
        "window" (one of a few distances to the window that it is in, and its tap there)
    index_bits : width of a relative distance
    mask_bits : columns of a mask word (bitmask, with a bit for each stream; in `dense-packed` with
        a bit for each filter)
    tap_depth : words of the table that turns a bit's place into an address (bitmask)
    mask_depth : words in each of the two mask buffers (bitmask and `dense-packed`)
    window_reads, window_span : a window of `sparse-rows` holds that many reads of
        lanes + span - 1 bytes, so that a read serves `span` neighbouring taps; one of the "window"
        coding, and of masks that are `windows`, is a single such read
    acc_bits : accumulator, two's complement
    weight_depth : entries in each of the two weight buffers
    act_banks, bank_bytes : activation memory is act_banks macros, each bank_bytes wide; a
        read returns act_banks * bank_bytes neighbouring bytes from any multiple of
        bank_bytes, so act_banks * bank_bytes >= read_bytes + bank_bytes - 1 (bytes)
    act_depth : words in each activation bank
    act_buffers : 2 loads the next map while the core computes (ping-pong), 1 does not
    drain : requantisers of a tile, outputs leaving per cycle
    mul_bits : requantisation multiplier, unsigned
    pipeline : registers between operands and accumulator, 0..2; 2 also splits the product
    clock_ns : synthesis clock target, nanoseconds
    nm_keep, nm_group : N and M of `sparse-nm`: of each M neighbouring channels a filter has at most
        N weights at a tap, each with a multiplier of its own. M is 2, 4 or 8; N = M prunes nothing
    gate_zeros : 1 gives every multiplier operand registers of its own, which keep what they have
        while one of the new operands is zero, so that the multiplier rests
    rest_sums : 1 writes a sum only when a product counts for it or it is passed on, for cores whose
        filters take turns or that have `gate_zeros`, and then a product only where its multiplier
        does not rest: enables, which gated clocks make use of
    streams : 1..8, of the sparse core: the input channels of a convolution group are dealt to so
        many streams, channel c to stream c mod `streams`. Each has a decoder and an activation
        memory of its own in every tile, and every lane adds up the streams' products in one
        accumulator
    beats : cycles in which a window of the "window" coding, or of masks that are `windows`, is
        read, 1..8, each a share of its bytes
    step_bits : width of the number of a distance between windows ("window" coding); a layer has
        2**step_bits - 1 of them, fillers make all others
    listed : 1: likewise for how far a tap lies behind the one before in its window, of which a
        layer has 2**step_bits; an entry has one number, for the one or for the other
    run_bits : width of the number, in each mask word of the "bitmask" coding, of words behind it
        that are not stored since all their bits are set; 0 stores all words
    windows : 1: a mask word of the "bitmask" coding has the taps of one window, which lie in
        `window_span` bytes of one channel; it takes `beats` cycles at least if it has a weight
    """

    core: Literal[
        "sparse", "dense-scalar", "dense-2d", "dense-packed", "sparse-rows", "sparse-nm"
    ] = "sparse"
    lanes: int = 61
    filters: int = 1
    tiles: int = 1
    weight_bits: int = 8
    act_bits: int = 8
    coding: Literal["relative", "absolute", "bitmask", "window"] = "relative"
    index_bits: int = 12
    mask_bits: int = 27
    tap_depth: int = 128
    mask_depth: int = 128
    window_reads: int = 3
    window_span: int = 5
    acc_bits: int = 24
    weight_depth: int = 2048
    act_banks: int = 16
    bank_bytes: int = 4
    act_depth: int = 2560
    act_buffers: int = 1
    drain: int = 1
    mul_bits: int = 16
    pipeline: int = 1
    clock_ns: float = 1.0
    nm_keep: int = field(default=2, metadata=values.LATER)
    nm_group: int = field(default=4, metadata=values.LATER)
    gate_zeros: int = field(default=0, metadata=values.LATER)
    rest_sums: int = field(default=0, metadata=values.LATER)
    streams: int = field(default=1, metadata=values.LATER)
    beats: int = field(default=1, metadata=values.LATER)
    step_bits: int = field(default=3, metadata=values.LATER)
    listed: int = field(default=0, metadata=values.LATER)
    run_bits: int = field(default=0, metadata=values.LATER)
    windows: int = field(default=0, metadata=values.LATER)

    def __post_init__(self) -> None:
        # Searches make them by the thousand: sentences are written for those that are wrong.
        if (wrong := self._wrong()) is not None:
            raise CosignError(f"CoreConfig: {wrong}.")
        object.__setattr__(self, "clock_ns", float(self.clock_ns))  # 1 and 1.0 are one hash

    def resized(self, **fields: int) -> "CoreConfig":
        """With other sizes, which cannot be wrong and so are not checked: searches do that a
        hundred thousand times."""
        other = object.__new__(CoreConfig)
        other.__dict__.update(self.__dict__, **fields)
        return other

    def _wrong(self) -> str | None:
        """What is wrong with the fields, None for nothing."""
        if self.core not in CORES:
            return f"core {self.core!r} is not one of {', '.join(CORES)}"
        if self.coding not in CODINGS:
            return f"coding {self.coding!r} is not one of {', '.join(CODINGS)}"
        for name, low, high in (*_RANGES, ("nm_keep", 1, self.nm_group)):
            value = getattr(self, name)
            if type(value) is not int:
                return f"{name} must be a whole number, not {value!r}"
            if not low <= value <= high:
                return f"{name} is {value}, must be {low}..{high}"
        for name in ("act_banks", "bank_bytes", "nm_group"):
            value = getattr(self, name)
            if not (type(value) is int and 0 < value <= WIDEST and value & (value - 1) == 0):
                return f"{name} is {value!r}, must be a power of two, {WIDEST} at most"
        if self.act_banks < self.fewest_banks:
            return (
                f"{self.lanes} lanes read up to {self.read_span} bytes at once, but act_banks x "
                f"bank_bytes is {self.row_bytes}"
            )
        if self.core == "sparse-rows" and self.window_span > MOST_IN_ROWS:
            return f"window_span of sparse-rows is {self.window_span}, at most {MOST_IN_ROWS}"
        if self.listed and not self.stepped:
            return 'listed is for the "window" coding of the sparse core'
        for name in ("run_bits", "windows"):
            if getattr(self, name) and (self.core != "sparse" or self.coding != "bitmask"):
                return f'{name} is for the "bitmask" coding of the sparse core'
        if self.windows and self.window_span == 1:
            return "window_span is 1, must be 2 at least where masks are windows"
        if self.streams > 1 and self.core != "sparse":
            return f"the {self.core} core has one stream, streams is {self.streams}"
        if self.filters > 1 and self.core in ("sparse", "dense-scalar") and not self.stepped:
            but = ' but with the "window" coding' * (self.core == "sparse")
            return (
                f"the {self.core} core computes one filter at a time{but}, filters is "
                f"{self.filters}"
            )
        if self.filters > 1 and self.lanes % self.drain:
            return f"drain is {self.drain}, must divide the {self.lanes} lanes of several filters"
        if self.rest_sums and self.turns == 1 and not self.gate_zeros:
            return (
                "rest_sums is for filters that take turns and for gate_zeros, this core has neither"
            )
        if not (type(self.clock_ns) in (int, float) and FASTEST_NS <= self.clock_ns <= SLOWEST_NS):
            return (
                f"clock_ns is {self.clock_ns!r}, must be positive, {FASTEST_NS:g} at least and "
                f"{SLOWEST_NS:g} at most"
            )
        return None

    @property
    def name(self) -> str:
        """sparse-61, sparse-61-bitmask, sparse-61-window3x2 of three taps and two beats,
        sparse-61-window31x8-listed whose taps are numbers of a list,
        sparse-61-bitmask-window31x8-runs whose masks are windows,
        sparse-2x61-window3x2 where two filters take turns, sparse-dot-13x4 with four streams,
        dense-2d-8x8, dense-2d-8x8-gated, sparse-nm-8x8-2of4; dense-dot-8x8x4 where N = M = 4, which
        prunes nothing; sparse-61-a6 with activations of six bits."""
        lanes = f"{self.filters}x{self.lanes}" if self.filters > 1 else f"{self.lanes}"
        coding = self.core == "sparse" and self.coding != "relative"
        kept = f"-{self.nm_keep}of{self.nm_group}" * self.structured
        last = "-gated" * self.gate_zeros + "-resting" * self.rest_sums
        if self.act_bits != activations.MOST:
            last += f"-a{self.act_bits}"
        if self.dot:
            return f"dense-dot-{lanes}x{self.nm_group}{last}"
        listed = "-listed" * self.listed
        windows = "-window" * self.windows
        windows += f"{self.window_span}x{self.beats}{listed}" * self.windowed
        runs = "-runs" * (self.run_bits > 0)
        more = f"-{self.coding}" * coding + windows + runs + kept + last
        if self.streams > 1:
            return f"sparse-dot-{lanes}x{self.streams}{more}"
        return f"{self.core}-{lanes}{more}"

    def for_activations(self, bits: int) -> "CoreConfig":
        """The core for networks whose activations have so many bits: with those where it has the
        usual ones. Raises CosignError where it has others."""
        if self.act_bits not in (activations.MOST, bits):
            raise CosignError(
                f"the core {self.name} is for activations of {self.act_bits} bits, the network's "
                f"have {bits}; leave out its act_bits or give another network."
            )
        return dataclasses.replace(self, act_bits=bits)

    @property
    def dense(self) -> bool:
        """Whether the core steps through every tap, pruned or not: a tile takes as long as the
        shape says."""
        return self.core in ("dense-scalar", "dense-2d", "dense-packed", "sparse-nm")

    @property
    def packed(self) -> bool:
        """Whether the core is dense, and yet its pruned weights are not stored."""
        return self.core == "dense-packed"

    @property
    def compresses(self) -> bool:
        """Whether the weight stream has no words for pruned weights, whatever the mask."""
        return self.packed or not self.dense

    @property
    def structured(self) -> bool:
        """Whether the core steps through groups of channels, and its weights obey a pattern."""
        return self.core == "sparse-nm"

    @property
    def dot(self) -> bool:
        """Whether the pattern keeps all: a dense array of dot products."""
        return self.structured and self.nm_keep == self.nm_group

    @property
    def keep(self) -> int:
        """Weights of a filter, and so products of a lane for it, in a cycle."""
        return self.nm_keep if self.structured else self.streams

    @property
    def element(self) -> int:
        """Neighbouring channels that have one address: side by side in the activation memory, or
        each in that of its stream."""
        return self.nm_group if self.structured else self.streams

    @property
    def element_bytes(self) -> int:
        """Those of them that lie in the same activation memory."""
        return self.nm_group if self.structured else 1

    @property
    def read_bytes(self) -> int:
        """Neighbouring bytes that a read of an activation memory must deliver."""
        if self.windowed:
            return -(-self.window_bytes // self.beats)
        more = self.window_span - 1 if self.core == "sparse-rows" else 0
        return self.lanes * self.element_bytes + more

    @property
    def window_bytes(self) -> int:
        """Bytes of a window (cores that are `windowed`)."""
        return self.lanes + self.window_span - 1

    @property
    def read_span(self) -> int:
        """Bytes from the first of a bank's word within which a read lies, wherever it begins."""
        return self.read_bytes + max(0, self.bank_bytes - self.element_bytes)

    @property
    def fewest_banks(self) -> int:
        """The least act_banks, a power of two, that holds a read's span."""
        return 1 << (-(-self.read_span // self.bank_bytes) - 1).bit_length()

    @property
    def multipliers(self) -> int:
        return self.lanes * self.operands * self.tiles

    @property
    def turns(self) -> int:
        """Filters that take turns on a window ("window" coding): a lane has an accumulator for
        each."""
        return self.filters if self.core == "sparse" else 1

    @property
    def parallel(self) -> int:
        """Filters whose weights are issued in the same cycle, each with lanes of its own."""
        return self.filters // self.turns

    @property
    def operands(self) -> int:
        """Weights that are issued in a cycle."""
        return self.parallel * self.keep

    @property
    def operand_bits(self) -> int:
        """Width of a weight operand, two's complement: holds +-max_level(weight_bits)."""
        return min(self.weight_bits + 1, 8)

    @property
    def pattern_bits(self) -> int:
        """Width of the number that tells which channels of a group are kept (`sparse-nm`)."""
        return (pattern.count(self.nm_keep, self.nm_group) - 1).bit_length()

    @property
    def select_bits(self) -> int:
        """Width of what tells an operand which of its channels it takes (`sparse-nm`)."""
        return (self.nm_group - self.nm_keep).bit_length()

    @property
    def place_bits(self) -> int:
        """Width of the part of an entry of the weight buffers that tells where the weight is."""
        if self.core == "sparse-rows":  # read, shift, last of its window
            return self.read_bits + self.shift_bits + 1
        if self.dense or self.coding == "bitmask":
            return 0
        if self.stepped:
            return (1 if self.listed else self.tap_bits) + self.step_bits + self.turn_bits
        return self.index_bits if self.coding == "relative" else self.address_bits

    @property
    def stepped(self) -> bool:
        """Whether the weights of the sparse core tell of steps from window to window."""
        return self.core == "sparse" and self.coding == "window"

    @property
    def windowed(self) -> bool:
        """Whether the weights of the sparse core share windows, which steps or masks tell of."""
        return self.stepped or self.windows > 0

    @property
    def kept(self) -> bool:
        """Whether windows have registers of their own: of several beats, of several taps, or for
        several filters."""
        return self.windowed and self.window_span * self.beats * self.turns > 1

    @property
    def tap_bits(self) -> int:
        """Width of a tap's place in its window (cores that are `windowed`); all ones mark a filler
        of the "window" coding, but for taps that are listed."""
        return self.window_span.bit_length()

    @property
    def turn_bits(self) -> int:
        """Width of the number of a weight's filter among those that take turns."""
        return (self.turns - 1).bit_length()

    @property
    def read_bits(self) -> int:
        """Width of a read's number in its window (`sparse-rows`); all ones mark a filler."""
        return self.window_reads.bit_length()

    @property
    def shift_bits(self) -> int:
        """Width of how far a tap lies behind the first byte of its read, or of its window."""
        return (self.window_span - 1).bit_length()

    @property
    def entry_bits(self) -> int:
        """Width of a word of the weight buffers (of each row's, in `sparse-rows`): an entry for
        each stream, stream 0 lowest."""
        if self.packed:
            return self.filters * self.weight_bits
        if self.dense:
            return self.filters * self.filter_bits
        return self.streams * (self.place_bits + self.weight_bits)

    @property
    def filter_bits(self) -> int:
        """Width of a filter's part of a word of a dense core: its operands, and their pattern."""
        return self.keep * self.operand_bits + (self.pattern_bits if self.structured else 0)

    @property
    def table(self) -> bool:
        """Whether the core has a table of tap addresses, loaded ahead of a layer's weights."""
        return self.core == "sparse-rows" or (self.masked and not self.dense)

    @property
    def masked(self) -> bool:
        """Whether a bitmask tells where the weights are."""
        return self.packed or (self.core == "sparse" and self.coding == "bitmask")

    @property
    def mask_word_bits(self) -> int:
        """Width of the weight stream's mask words, a mask for each filter or for each stream."""
        return self.stored_mask_bits * (self.operands if self.masked else 1)

    @property
    def stored_mask_bits(self) -> int:
        """Width of one mask there, with the number of those behind it that are not stored."""
        return self.mask_bits + self.run_bits

    @property
    def stream_bits(self) -> int:
        """Width of a word of the weight stream, with `last` of a filter on top where its length
        is not the shape's."""
        if not self.compresses:
            return self.entry_bits
        widths = [
            self.entry_bits,
            self.table * self.address_bits,
            self.masked * self.mask_word_bits,
        ]
        return max(widths) + 1

    @property
    def packed_bits(self) -> int:
        """Width of a word of weights in the memory outside, with what is needed to find their
        places and their filter's end: what a mask or the end of a window tells is not stored once
        more."""
        ends = self.core == "sparse" and not self.masked
        return self.entry_bits + ends

    @property
    def bias_bits(self) -> int:
        """Width of a word of the bias stream: a filter's bias, multiplier and shift."""
        return self.acc_bits + self.mul_bits + SHIFT_BITS

    @property
    def address_bits(self) -> int:
        """Width of an element's address in an activation memory."""
        return (self.act_elements - 1).bit_length()

    @property
    def tile_shifts(self) -> int:
        """Drain cycles of a whole tile."""
        return self.filters * self.row_shifts

    @property
    def row_shifts(self) -> int:
        """Drain cycles of one filter's part of a whole tile."""
        return -(-self.lanes // self.drain)

    @property
    def memories(self) -> int:
        """Activation memories of the core: in every tile one for each stream."""
        return self.tiles * self.streams

    @property
    def row_bytes(self) -> int:
        """Bytes that an activation memory delivers in a cycle."""
        return self.act_banks * self.bank_bytes

    @property
    def act_word_bytes(self) -> int:
        """Bytes that all activation memories of a tile deliver in a cycle."""
        return self.row_bytes * self.streams

    @property
    def act_bytes(self) -> int:
        """Capacity of all activation memories of a tile."""
        return self.act_word_bytes * self.act_depth

    @property
    def act_elements(self) -> int:
        """Addresses of an activation memory; those of bytes but in `sparse-nm`."""
        return self.act_bytes // self.element

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **values.plain(self)}

    @classmethod
    def from_json(cls, value: Any, where: str = "a core's JSON") -> "CoreConfig":
        """Raises CosignError on another schema, an unknown, a missing or a wrong field.

        where : what the sentence begins with
        """
        again = "`cosign rtl generate` writes one"
        return values.parse(value, cls, where, again, (SCHEMA,))

    @property
    def hash(self) -> str:
        """12 hex digits that name this config's build directory."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
