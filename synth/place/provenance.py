"""What a placement depends on, for results and for the cache."""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

from synth.pdk import Pdk
from synth.place.buffers import GROUP_FF, REACH_UM
from synth.place.lef import Lef
from synth.place.options import NOTE, Placement
from synth.place.placer import EFFORT, ROUGH_EFFORT, require_placer
from synth.place.wires.congestion import FREE
from synth.place.wires.metal import Metal


def recipe_hash() -> str:
    """12 hex digits over this package: equal hash, equal treatment."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.c")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def provenance(pdk: Pdk, lef: Lef, metal: Metal, asked: Placement) -> dict[str, Any]:
    """What a placement depends on beside the netlist. Raises CosignError without a placer."""
    require_placer()
    return {
        "placer": f"Coloquinte {importlib.metadata.version('coloquinte')} (coloquinte), "
        f"effort {ROUGH_EFFORT}, then {EFFORT}",
        "recipe": recipe_hash(),
        "lef": ", ".join(path.name for path in lef.files),
        "lef_sha256": lef.sha256,
        "utilisation": asked.utilisation,
        "aspect": asked.aspect,
        "wires": {
            "model": "Steiner trees over placed pins, an RC tree each",
            "short_ohm_um": metal.short_ohm_um,
            "short_ff_um": metal.short_ff_um,
            "long_ohm_um": metal.long_ohm_um,
            "long_ff_um": metal.long_ff_um,
            "long_um": metal.long_um,
            "source": metal.source,
            "tracks_free": FREE,
        },
        "repeaters": {"reach_um": REACH_UM, "group_ff": GROUP_FF},
        "note": NOTE,
    }
