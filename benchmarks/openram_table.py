"""Make synth/openram_freepdk45.csv: lay out SRAM macros with OpenRAM and read their Liberty files.

    python -m venv openram && openram/bin/pip install "numpy<2" openram==1.2.48
    python benchmarks/openram_table.py openram/bin/python --out synth/openram_freepdk45.csv

Half a minute for 64x16, a quarter of an hour for 1024x32. One read-write port, typical corner,
1.0 V, 25 C; supplies and the ring of pins around the macro are not routed; delays are OpenRAM's
analytical estimate. `access_ns` is the delay from the clock edge that starts a read to the output.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cosign import CosignError, atomic_write

SIZES = ((64, 16), (256, 32), (512, 32), (1024, 32))

CONFIG = """\
tech_name = "freepdk45"
word_size = {bits}
num_words = {words}
num_rw_ports = 1
num_r_ports = 0
num_w_ports = 0
nominal_corner_only = True
process_corners = ["TT"]
supply_voltages = [1.0]
temperatures = [25]
route_supplies = False
perimeter_pins = False
check_lvsdrc = False
analytical_delay = True
output_path = "{out}"
output_name = "macro"
"""


def openram_folder(python: Path) -> Path:
    """Where `python` has the openram package. Raises CosignError when it has none."""
    code = "import importlib.util as u; print(u.find_spec('openram').origin)"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise CosignError(f"{python} has no package openram; install openram==1.2.48 there.")
    return Path(found.stdout.strip()).parent


def lay_out(python: Path, words: int, bits: int, folder: Path) -> str:
    """Run OpenRAM; returns the macro's Liberty text."""
    package = openram_folder(python)
    config = folder / "macro_config.py"
    config.write_text(CONFIG.format(words=words, bits=bits, out=folder / "out"))
    environment = os.environ | {
        "OPENRAM_HOME": str(package / "compiler"),
        "OPENRAM_TECH": str(package / "technology"),
    }
    log = folder / "openram.log"
    with open(log, "w") as output:
        status = subprocess.run(
            [python, package / "sram_compiler.py", config.name],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    liberty = next(iter((folder / "out").glob("*.lib")), None)
    if status != 0 or liberty is None:
        tail = " ".join(log.read_text().split()[-30:])
        raise CosignError(f"OpenRAM made no {words}x{bits} macro; it ended with: {tail}.")
    return liberty.read_text()


def row(words: int, bits: int, liberty: str) -> str:
    """The CSV line of a macro. Raises CosignError when the Liberty text lacks a figure."""
    area = re.search(r"\barea\s*:\s*([\d.]+)", liberty)
    rise = re.search(r"cell_rise\s*\(\w+\)\s*\{\s*values\((.*?)\);", liberty, re.S)
    setup = re.search(
        r"setup_rising.*?rise_constraint\s*\(\w+\)\s*\{\s*values\((.*?)\);", liberty, re.S
    )
    if not (area and rise and setup):
        raise CosignError(f"the Liberty file of the {words}x{bits} macro has no area or timing.")
    access, constraint = (
        max(float(value) for value in re.findall(r"\d+\.\d+", match[1])) for match in (rise, setup)
    )
    return f"{words},{bits},{float(area[1]):.1f},{access:.3f},{constraint:.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", type=Path, help="the interpreter that has openram")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", nargs="*", help="e.g. 64x16 256x32; default: all of the table")
    arguments = parser.parse_args()
    sizes = SIZES
    if arguments.sizes:
        sizes = tuple(tuple(map(int, size.split("x"))) for size in arguments.sizes)
    lines = ["words,bits,area_um2,access_ns,setup_ns"]
    try:
        for words, bits in sizes:
            with tempfile.TemporaryDirectory() as folder:
                text = lay_out(arguments.python.absolute(), words, bits, Path(folder))
            lines.append(row(words, bits, text))
            print(lines[-1], flush=True)
        with atomic_write(arguments.out) as file:
            file.write(("\n".join(lines) + "\n").encode())
    except CosignError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
