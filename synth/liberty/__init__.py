"""Cell libraries in Liberty: read from what users have, told by what each cell is for.

library = read_library(Path("cells.lib"))        # or several files of one kit
library.flip_flops, library.buffers              # ladders, from the weakest
library.text                                     # what Yosys, ABC and OpenSTA read
library = with_clock_gates(Path("cells.lib"))    # the same, its clock gates among the cells to pick
"""

from synth.liberty.cells import PINS, FlipFlop, LibCell
from synth.liberty.clockgates import ClockGate, clock_gates, with_clock_gates
from synth.liberty.library import Library, read_library

__all__ = [
    "PINS",
    "ClockGate",
    "FlipFlop",
    "LibCell",
    "Library",
    "clock_gates",
    "read_library",
    "with_clock_gates",
]
