"""Make synth/openram_freepdk45.csv: lay out SRAM macros with OpenRAM and read their Liberty files.

    python -m venv openram && openram/bin/pip install "numpy<2" openram==1.2.48
    python benchmarks/openram_table.py openram/bin/python --out synth/openram_freepdk45.csv

Half a minute for 64x16, a quarter of an hour for 1024x32. Macros that the table holds are not made
again; each new one is added when it is finished. One read-write port, typical corner, 1.0 V, 25 C;
supplies and the ring of pins around the macro are not routed; delays and power are OpenRAM's
analytical estimates. `access_ns` is the delay from the clock edge that starts a read to the output.

`read_pj` and `write_pj` come from the Liberty file's internal power of the clock. OpenRAM writes
there the power in milliwatts at its event frequency of 100 MHz, as its source says
(characterizer/elmore.py, tech.py), so one access takes that power / 100 MHz. The estimate lets
every gate switch at the default event rate and both bit lines of every column swing half way;
reads and writes are alike in it. `leakage_uw` is its 1 nW for each bit and gate.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cosign import CosignError, atomic_write

SIZES = (
    *((words, 8) for words in (64, 128, 256, 512)),
    *((words, 16) for words in (32, 64, 128, 256, 512)),
    *((words, 32) for words in (32, 64, 128, 256, 512, 1024)),
    *((words, 64) for words in (64, 128)),
)
HEADER = "words,bits,area_um2,access_ns,setup_ns,read_pj,write_pj,leakage_uw"
EVENT_MHZ = 100.0  # spice["default_event_frequency"] of OpenRAM's freepdk45

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
    leakage = re.search(r"cell_leakage_power\s*:\s*([\d.]+)\s*;\s*\n\s*bus", liberty)
    powers = {
        name: re.search(
            rf'internal_power\(\)\{{\s*when : "!csb0 & {pin}";\s*'
            r'rise_power\(scalar\)\{\s*values\("([\d.e+-]+)"\);\s*\}\s*'
            r'fall_power\(scalar\)\{\s*values\("([\d.e+-]+)"\)',
            liberty,
        )
        for name, pin in (("read", "web0"), ("write", "!web0"))
    }
    if not (area and rise and setup and leakage and powers["read"] and powers["write"]):
        raise CosignError(
            f"the Liberty file of the {words}x{bits} macro lacks area, timing or power."
        )
    access, constraint = (
        max(float(value) for value in re.findall(r"\d+\.\d+", match[1])) for match in (rise, setup)
    )
    # Read and write power are means of two cycles: data 1 under rise, data 0 under fall.
    read, write = (
        (float(match[1]) + float(match[2])) / 2 / EVENT_MHZ * 1000
        for match in (powers["read"], powers["write"])
        if match
    )
    return (
        f"{words},{bits},{float(area[1]):.1f},{access:.3f},{constraint:.3f},"
        f"{read:.3f},{write:.3f},{1000 * float(leakage[1]):.3f}"
    )


def kept_rows(path: Path) -> dict[tuple[int, int], str]:
    """The lines of an existing table by (words, bits); none when it lacks a column."""
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines or lines[0] != HEADER:
        return {}
    return {tuple(map(int, line.split(",")[:2])): line for line in lines[1:]}  # type: ignore[misc]


def write_table(rows: dict[tuple[int, int], str], path: Path) -> None:
    lines = [HEADER, *(rows[size] for size in sorted(rows))]
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", type=Path, help="the interpreter that has openram")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", nargs="*", help="e.g. 64x16 256x32; default: all of the table")
    arguments = parser.parse_args()
    sizes = SIZES
    if arguments.sizes:
        sizes = tuple(tuple(map(int, size.split("x"))) for size in arguments.sizes)
    rows = kept_rows(arguments.out)
    status = 0
    for words, bits in sizes:
        if (words, bits) in rows:
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                text = lay_out(arguments.python.absolute(), words, bits, Path(folder))
            rows[words, bits] = row(words, bits, text)
            write_table(rows, arguments.out)
        except CosignError as error:  # some sizes OpenRAM cannot route: go on with the next one
            print(error, file=sys.stderr)
            status = 2
            continue
        except KeyboardInterrupt:
            print("stopped.", file=sys.stderr)
            return 130
        print(rows[words, bits], flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
