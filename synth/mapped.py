"""A core's mapped netlist, kept where it is asked for: mapping takes longer than anything after it.

A placement starts from the same netlist as the report beside it, before buffers and sizing.
"""

import gzip
import shutil
import threading
from pathlib import Path

from cosign import atomic_write, cache
from synth.map import map_core, yosys_version
from synth.pdk import Pdk
from synth.recipe import recipe_hash

MAPPED = "mapped.json.gz"
KEPT = ("map.ys", "map.abc", "map.log", MAPPED)


def map_once(
    verilog: dict[str, str],
    top: str,
    pdk: Pdk,
    macros: Path,
    folder: Path,
    cancel: threading.Event | None = None,
    *,
    keep: bool = False,
) -> Path:
    """`synth.map.map_core`, or what it left when it was last asked to `keep` that.

    A cache that cannot be written is not used.
    """
    cached = cache.entry(
        "mapped", yosys_version(), pdk.provenance(), recipe_hash(pdk.library), verilog
    )
    path = folder / "mapped.json"
    if cache.intact(cached, KEPT):
        for name in KEPT[:-1]:
            shutil.copyfile(cached / name, folder / name)
        for name, text in verilog.items():
            with atomic_write(folder / name) as file:
                file.write(text.encode())
        with atomic_write(path) as file:
            file.write(gzip.decompress((cached / MAPPED).read_bytes()))
        return path
    path = map_core(verilog, top, pdk, macros, folder, cancel)
    if keep:
        packed = gzip.compress(path.read_bytes(), 4, mtime=0)
        cache.keep(cached, {n: (folder / n).read_bytes() for n in KEPT[:-1]} | {MAPPED: packed})
    return path
