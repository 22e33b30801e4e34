"""LEF as it comes, and what is refused."""

from pathlib import Path

import pytest
from placed_cores import without_cell

from cosign import CosignError
from synth.pdk import find_pdk
from synth.place.lef import find_lef, read_lef
from synth.place.wires.metal import metal_of

TECHNOLOGY = """\
VERSION 5.8 ;
UNITS DATABASE MICRONS 1000 ; END UNITS
SITE unit
  CLASS CORE ;  SYMMETRY Y ;  SIZE 0.2 BY 2.0 ;
END unit
SITE pad
  CLASS PAD ;
  SIZE 9 BY 9 ;
END pad
LAYER m1
  TYPE ROUTING ;
  DIRECTION HORIZONTAL ;
  PITCH 0.4 ;
  WIDTH 0.2 ; # the narrowest
  SPACINGTABLE PARALLELRUNLENGTH 0.0 WIDTH 0.0 0.3 WIDTH 0.9 0.5 ;
  RESISTANCE RPERSQ 0.1 ;
  CAPACITANCE CPERSQDIST 1e-4 ;
  EDGECAPACITANCE 2e-5 ;
END m1
LAYER v1
  TYPE CUT ;
END v1
LAYER m2
  TYPE ROUTING ;
  DIRECTION VERTICAL ;
  PITCH 0.5 0.6 ;
  WIDTH 0.25 ;
END m2
"""
CELLS = """\
MACRO inv
  CLASS CORE ;
  ORIGIN 0.1 0.0 ;
  SIZE 0.6 BY 2.0 ;
  PIN A
    DIRECTION INPUT ;
    PORT
      LAYER m1 ;
        RECT 0.0 0.4 0.2 0.6 ;
        RECT 0.0 0.8 0.2 1.0 ;
    END
  END A
  PIN Y
    PORT
      LAYER m1 ;
        POLYGON 0.3 0.2 0.5 0.2 0.5 0.6 0.3 0.6 ;
    END
  END Y
  OBS
    LAYER m1 ;
      RECT 0 0 0.1 0.1 ;
  END
END inv
"""


def files(folder: Path, **texts: str) -> list[Path]:
    paths = [folder / f"{name}.lef" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    return paths


def test_two_files_in_any_order(tmp_path: Path) -> None:
    lef = read_lef(*files(tmp_path, cells=CELLS, technology=TECHNOLOGY))
    assert (lef.site, lef.site_um, lef.row_um) == ("unit", 0.2, 2.0)
    first, second = lef.layers
    assert (first.name, first.horizontal, first.pitch_um, first.width_um) == ("m1", True, 0.4, 0.2)
    assert (second.horizontal, second.pitch_um) == (False, 0.5)
    assert first.ohm_um == pytest.approx(0.5)
    assert first.ff_um == pytest.approx(1e3 * (1e-4 * 0.2 + 4e-5))
    cell = lef.outline("inv")
    assert (cell.width_um, cell.height_um, cell.core) == (0.6, 2.0, True)
    assert cell.pin("A") == pytest.approx((0.2, 0.7))
    assert cell.pin("Y") == pytest.approx((0.5, 0.4))
    with pytest.raises(CosignError, match="no pin B of inv"):
        cell.pin("B")


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"a": TECHNOLOGY}, "has no MACRO"),
        ({"a": CELLS}, "no horizontal routing layer"),
        ({"a": "library (x) { }"}, "it is no LEF file"),
        ({"a": ""}, "it is no LEF file"),
        ({"a": TECHNOLOGY, "b": CELLS.replace("SIZE 0.6 BY 2.0 ;", "")}, "MACRO inv is damaged"),
        ({"a": TECHNOLOGY, "b": CELLS.replace("0.6 BY", "wide BY")}, "MACRO inv is damaged"),
        ({"a": TECHNOLOGY, "b": CELLS.replace("0.6 BY", "-0.6 BY")}, "SIZE is not positive"),
        ({"a": TECHNOLOGY.replace("PITCH 0.4 ;", ""), "b": CELLS}, "LAYER m1 is damaged"),
        ({"a": TECHNOLOGY.replace("VERTICAL", "HORIZONTAL"), "b": CELLS}, "no vertical"),
        ({"a": TECHNOLOGY.replace("SITE unit", "SITE2 unit"), "b": CELLS}, "SITE of CLASS CORE"),
    ],
)
def test_refusals(tmp_path: Path, texts: dict[str, str], reason: str) -> None:
    with pytest.raises(CosignError, match=reason) as error:
        read_lef(*files(tmp_path, **texts))
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="cannot read the LEF file"):
        read_lef(tmp_path / "nowhere.lef")


def test_nangate_agrees_with_its_liberty(tmp_path: Path) -> None:
    pdk = find_pdk()
    lef = find_lef(pdk)
    for name, cell in pdk.library.cells.items():
        outline = lef.outline(name)
        assert outline.width_um * outline.height_um == pytest.approx(cell.area_um2, abs=1e-3)
        assert set(cell.capacitance_ff) | set(cell.function) <= set(outline.pins)
    metal = metal_of(pdk, lef)
    assert "OpenROAD" in metal.source
    # Its resistances are those of the LEF's layers.
    assert metal.short_ohm_um == pytest.approx(lef.layers[2].ohm_um, rel=0.02)
    assert metal.long_ohm_um == pytest.approx(lef.layers[4].ohm_um, rel=0.02)
    short = without_cell(lef.files[1], "NAND2_X1", tmp_path / "cells.lef")
    with pytest.raises(CosignError, match=r"holds NAND2_X1, which .* does not have"):
        read_lef(lef.files[0], short).outline("NAND2_X1")
