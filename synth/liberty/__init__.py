"""Cell libraries in Liberty: read from what users have, told by what each cell is for.

library = read_library(Path("cells.lib"))        # or several files of one kit
library.flip_flops, library.buffers              # ladders, from the weakest
library.text                                     # what Yosys, ABC and OpenSTA read
"""

from synth.liberty.cells import PINS, FlipFlop, LibCell
from synth.liberty.library import Library, read_library

__all__ = ["PINS", "FlipFlop", "LibCell", "Library", "read_library"]
