"""The one recipe that maps every core, and the hash that names it in every result.

Why it looks like this:
- Booth multipliers and `dch` before the delay-optimal mapper gave the best area x delay of the
  scripts that we measured; the ABC script alone moves a lane's area by 40 %.
- ABC neither buffers nor sizes here: it sees only the gates between registers, so both are done
  afterwards with OpenSTA's slacks (synth/sizing.py).
- `keep_hierarchy` modules (register copies of a broadcast tree) are flattened only after the
  passes that would merge equal registers; from there on only `opt_clean` runs.
"""

import hashlib
from pathlib import Path

from synth import gating, sizing
from synth.liberty import Library, clock_gates

ABC_SCRIPT = """\
strash
dch
map -B 0.9
topo
"""

YOSYS_SCRIPT = """\
read_liberty -lib -ignore_miss_func {liberty}
read_liberty -lib {macros}
read_verilog {verilog}
hierarchy -check -top {top}
synth -flatten -noabc -booth -top {top}
setattr -mod -unset keep_hierarchy
flatten
opt_clean
{names}
dfflibmap -liberty {liberty}
opt_clean
abc -liberty {liberty} -script {abc}
setundef -zero
{ties}
splitnets
opt_clean -purge
check -assert -mapped
write_json {mapped}
"""

# Registers that only show the inverse drive no net of their name: they are named before.
NAME_REGISTERS = "rename -wire t:$_*DFF*"
TIES = "hilomap -singleton"

REPORT_SCRIPT = """\
read_liberty -lib -ignore_miss_func {liberty}
read_liberty -lib {macros}
read_verilog {netlist}
hierarchy -check -top {top}
check -assert -mapped
tee -q -o {area_text} stat -liberty {liberty}
tee -q -o {area_json} stat -liberty {liberty} -json
"""


def register_commands(library: Library) -> str:
    """What registers go through before they are mapped: clock gates, names."""
    names = (NAME_REGISTERS,) if library.inverting else ()
    return "\n".join((*gating.commands(library), *names))


def recipe_hash(library: Library) -> str:
    """12 hex digits over the scripts and the sizing rules, those of clock gates where `library` has
    some: equal hash, equal treatment."""
    digest = hashlib.sha256()
    for text in (ABC_SCRIPT, YOSYS_SCRIPT, NAME_REGISTERS, TIES, REPORT_SCRIPT):
        digest.update(text.encode())
    folder = Path(sizing.__file__).parent
    for name in (
        "blocks.py",
        "fmax.py",
        "liberty/cells.py",
        "liberty/expression.py",
        "liberty/files.py",
        "liberty/library.py",
        "liberty/plain.py",
        "liberty/syntax.py",
        "netlist.py",
        "sizing.py",
        "sram.py",
        "sta.py",
    ):
        digest.update((folder / name).read_bytes())
    if clock_gates(library):
        for name in ("gating.py", "liberty/clockgates.py"):
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]
