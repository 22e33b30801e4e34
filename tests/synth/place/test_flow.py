"""A small core placed, from its netlist to sign-off: legal, the same each time, read back."""

import copy
import itertools
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from placed_cores import CONFIG, MEMORY, chains, job

from cosign import CosignError
from synth.netlist import Netlist
from synth.pdk import find_pdk
from synth.place.buffers import STEM, remove_buffers
from synth.place.floorplan import cells_um2, with_ports
from synth.place.flow import CALM, KEPT, place, room, weights
from synth.place.geometry import Spot, Spots
from synth.place.job import Job
from synth.place.legal import faults
from synth.place.options import Placed
from synth.place.placer import Placer
from synth.place.timing import SPEF, PlacedTimer, sign_off
from synth.place.wires.congestion import Congestion
from synth.place.wires.spef import wire_ff
from synth.place.wires.steiner import steiner_trees
from synth.sizing import MAX_FANOUT, OUTPUT_LOAD_FF


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Placed]:
    made = job(tmp_path_factory.mktemp("placed"))
    return made, place(made, {"note": "a test"})


def spots_of(path: Path) -> dict[str, tuple[str, ...]]:
    """(kind, state, x, y, orientation) of every component of a DEF."""
    row = re.compile(r"^- (\S+) (\S+) \+ (PLACED|FIXED) \( (\d+) (\d+) \) (\w+) ;$", re.M)
    return {name: rest for name, *rest in row.findall(path.read_text())}  # type: ignore[misc]


def test_figures(placed: tuple[Job, Placed]) -> None:
    made, found = placed
    assert set(KEPT) <= {path.name for path in made.folder.iterdir()}
    assert found.logic_um2 == pytest.approx(cells_um2(made.netlist, made.lef))
    assert found.logic_um2 == pytest.approx(sum(found.blocks_um2.values()))
    assert sum(found.cells.values()) == len(made.netlist.cells) - 1
    width, height = found.core_um
    assert found.utilisation == pytest.approx(found.logic_um2 / (width * height))
    assert 0.6 < found.utilisation <= 0.71
    assert found.hpwl_mm > 0
    assert 0 < found.worst_bin < 1
    assert found.fmax_hz == pytest.approx(1e9 / (CONFIG.clock_ns - found.slack_ns))


def test_fanout_is_buffered(placed: tuple[Job, Placed]) -> None:
    made, found = placed
    assert found.buffers == sum(name.startswith(STEM) for name in made.netlist.cells) > 0
    for net, sinks in made.netlist.sinks().items():
        assert len(sinks) <= MAX_FANOUT or net in made.ideal


def test_taking_the_buffers_out_gives_the_netlist_back(placed: tuple[Job, Placed]) -> None:
    made, found = placed
    plain = copy.deepcopy(made.netlist)
    assert remove_buffers(plain, made.pdk.library, {}) == found.buffers
    drives = chains()
    assert plain.cells.keys() == drives.cells.keys()
    assert {n: c.pins for n, c in plain.cells.items()} == {
        n: c.pins for n, c in drives.cells.items()
    }


def test_def_is_legal(placed: tuple[Job, Placed]) -> None:
    made, found = placed
    text = (made.folder / "core.def").read_text()
    rows = [
        tuple(map(int, row))
        for row in re.findall(
            r"^ROW \S+ \S+ (\d+) (\d+) (?:N|FS) DO (\d+) BY 1 STEP (\d+) 0 ;$", text, re.M
        )
    ]
    starts = {y: (x, x + sites * step, step) for x, y, sites, step in rows}
    taken: dict[int, list[tuple[int, int]]] = {}
    memories = 0
    for name, (kind, state, x, y, orient) in spots_of(made.folder / "core.def").items():
        if state == "FIXED":
            memories += 1
            continue
        left, right, step = starts[int(y)]  # it is in a row
        wide = round(made.lef.outline(kind).width_um * 2000)
        assert (int(x) - left) % step == 0, name
        assert left <= int(x) <= int(x) + wide <= right, name
        assert orient == ("N", "FS")[sorted(starts).index(int(y)) % 2]
        taken.setdefault(int(y), []).append((int(x), int(x) + wide))
    for spans in taken.values():
        spans.sort()
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert memories == 1
    assert sum(map(len, taken.values())) == sum(found.cells.values())


def test_memories_and_rows_do_not_meet(placed: tuple[Job, Placed]) -> None:
    made, _ = placed
    plan = made.plan(cells_um2(made.netlist, made.lef))
    (block,) = plan.blocks
    width, height = block.size
    right, top = plan.x_um + plan.core_um[0], plan.y_um + plan.core_um[1]
    assert (
        block.x >= right or block.x + width <= plan.x_um
        or block.y >= top or block.y + height <= plan.y_um
    )  # fmt: skip
    # Its pins are on the edge that faces the rows.
    for pin in block.outline.pins:
        x, y = block.pin(pin)
        apart = max(plan.x_um - x, x - right, 0) + max(plan.y_um - y, y - top, 0)
        assert apart < min(width, height)


def test_same_seed_same_files_other_seed_others(placed: tuple[Job, Placed], tmp_path: Path) -> None:
    made, _ = placed
    again = job(tmp_path / "again")
    place(again, {})
    other = job(tmp_path / "other", seed=2)
    place(other, {})
    for name in ("core.def", "core.spef", "netlist.v"):
        assert (again.folder / name).read_bytes() == (made.folder / name).read_bytes()
    assert (other.folder / "core.def").read_bytes() != (made.folder / "core.def").read_bytes()


def ask(folder: Path, commands: str) -> str:
    """What OpenSTA says with the placed netlist and its wires read."""
    find_pdk().provide(folder)
    script = (folder / "sta.tcl").read_text().partition("read_spef")[0]
    (folder / "ask.tcl").write_text(f"{script}\nread_spef {SPEF}\n{commands}\n")
    command = ["sta", "-no_splash", "-no_init", "-exit", "ask.tcl"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_spef_is_read_back(placed: tuple[Job, Placed]) -> None:
    made, found = placed
    said = ask(
        made.folder,
        "foreach net [get_nets *] {\n"
        "  report_net -connections -verbose -digits 5 [get_full_name $net]\n}",
    )
    assert "not found" not in said
    wires = {
        part.split()[0]: match[1]
        for part in f"\n{said}".split("\nNet ")[1:]
        if (match := re.search(r"Wire capacitance: (?:r )?([\d.]+)", part))
    }
    written = dict(re.findall(r"^\*D_NET (\S+) ([\d.]+)", (made.folder / SPEF).read_text(), re.M))
    assert len(written) == len(made.wiring().nets)
    for net, load in written.items():
        assert float(wires[net]) == pytest.approx(float(load), abs=2e-3), net
    outputs = len(made.netlist.ports["y"][1]) * OUTPUT_LOAD_FF
    total = sum(map(float, written.values())) - outputs
    assert total / 1e3 == pytest.approx(found.wire_pf, rel=1e-3)


def test_a_wire_without_its_net_is_an_error(placed: tuple[Job, Placed], tmp_path: Path) -> None:
    made, _ = placed
    for name in ("core.spef", "netlist.v", "cosign_sram.lib", "sta.tcl"):
        text = (made.folder / name).read_text()
        if name == "core.spef":
            text = text.replace("*D_NET y[3]", "*D_NET renamed")
        (tmp_path / name).write_text(text)
    find_pdk().provide(tmp_path)
    setup = (tmp_path / "sta.tcl").read_text().partition("read_spef")[0]
    with pytest.raises(CosignError, match="net renamed not found"):
        sign_off(setup, tmp_path, 1.0)
    with pytest.raises(CosignError, match="net renamed not found"):
        PlacedTimer(
            tmp_path / "netlist.v", "cosign_core", made.pdk, tmp_path / "cosign_sram.lib", 1.0
        )


def test_klayout_opens_it(placed: tuple[Job, Placed]) -> None:
    pya = pytest.importorskip("klayout.db")
    made, found = placed
    options = pya.LoadLayoutOptions()
    options.lefdef_config.lef_files = [
        *map(str, made.lef.files),
        str(made.folder / "cosign_sram.lef"),
    ]
    options.lefdef_config.read_lef_with_def = False
    layout = pya.Layout()
    layout.read(str(made.folder / "core.def"), options)
    kinds: dict[str, int] = {}
    for instance in layout.top_cell().each_inst():
        name = layout.cell(instance.cell_index).name
        kinds[name] = kinds.get(name, 0) + 1
    placed_kinds = {name: count for name, count in kinds.items() if name in found.cells}
    assert placed_kinds == found.cells
    assert kinds[MEMORY] == 1
    box = layout.top_cell().dbbox()
    assert (box.width(), box.height()) == pytest.approx(found.die_um, abs=1.0)


def test_weights_draw_slow_nets(placed: tuple[Job, Placed]) -> None:
    made, _ = placed
    wiring = made.wiring()
    slacks = dict.fromkeys(made.netlist.cells, 0.5) | {"enable_reg": -0.1}
    found = weights(wiring, slacks)
    slow = [k for k, at in enumerate(wiring.starts[:-1]) if wiring.pins[at][0] == "enable_reg"]
    assert found[slow].min() > 4
    assert (np.delete(found, slow) == 1).all()


def test_cells_in_full_bins_get_more_room(tmp_path: Path) -> None:
    made = job(tmp_path)
    wiring = made.wiring()
    full = Congestion(CALM * np.array([[0.4], [3.0]]), 10.0, ())
    crowded = np.array([name.startswith("a_") for name in wiring.cells])
    spots = {
        name: Spot(15.0 if much else 5.0, 5.0)
        for name, much in zip(wiring.cells, crowded, strict=True)
    }
    wanted = room(full, wiring, spots)
    assert wanted == pytest.approx(np.where(crowded, 3, 1))

    plan = with_ports(made.plan(3 * cells_um2(made.netlist, made.lef)), {})

    def least(found: Spots) -> float:
        """Free on both sides of a crowded cell, as a share of it."""
        assert not faults(made.netlist, made.lef, plan, found)
        rows: dict[float, list[tuple[float, float, bool]]] = {}
        for name, much in zip(wiring.cells, crowded.tolist(), strict=True):
            wide = made.lef.outline(made.netlist.cells[name].kind).width_um
            rows.setdefault(found[name].y, []).append((found[name].x, wide, much))
        shares = []
        for cells in rows.values():
            edges = (plan.x_um, 0.0, False), (plan.x_um + plan.core_um[0], 0.0, False)
            line = [edges[0], *sorted(cells), edges[1]]
            for (x, width, _), (_, wide, much), (end, _, _) in zip(
                line, line[1:], line[2:], strict=False
            ):
                if much:
                    shares.append((end - x - width) / wide - 1)
        return min(shares)

    placer = Placer()
    alike = placer.place(made.netlist, made.lef, plan, wiring)
    apart = placer.place(made.netlist, made.lef, plan, wiring, room=wanted)
    assert least(apart) > 1.5 * least(alike)


def test_overfull_rows_are_refused(tmp_path: Path) -> None:
    made = job(tmp_path)
    plan = with_ports(made.plan(0.6 * cells_um2(made.netlist, made.lef)), {})
    with pytest.raises(CosignError, match=r"fill 1[01][0-9] % of the core.*choose a lower utilis"):
        Placer().place(made.netlist, made.lef, plan, made.wiring())


def test_faults_are_found(tmp_path: Path) -> None:
    made = job(tmp_path)
    plan = made.plan(2 * cells_um2(made.netlist, made.lef))
    names = [name for name, cell in made.netlist.cells.items() if cell.kind != MEMORY]
    spots = {}
    per_row = plan.sites // 20
    for index, name in enumerate(names):
        row, column = divmod(index, per_row)
        spots[name] = Spot(
            plan.x_um + 20 * column * plan.site_um,
            plan.y_um + row * plan.row_um,
            ("N", "FS")[row % 2],
        )

    def found(**moves: Spot) -> str:
        return " ".join(faults(made.netlist, made.lef, plan, spots | moves))

    assert found() == ""
    x, y, _ = spots["enable_reg"]
    assert found(enable_reg=Spot(x + 0.05, y)) == "enable_reg stands on no site."
    assert "enable_reg stands in no row." in found(enable_reg=Spot(x, y + 0.3))
    assert "enable_reg is turned" in found(enable_reg=Spot(x, y, "FS"))
    assert "overlaps" in found(enable_reg=spots["a_0_reg"])
    assert "beyond its row" in found(enable_reg=Spot(plan.x_um + plan.core_um[0], y))
    assert "outside the core" in found(enable_reg=Spot(x, y - 2 * plan.row_um))
    del spots["enable_reg"]
    assert found() == "enable_reg has no place."


def test_trees_and_wires_of_one_net(tmp_path: Path) -> None:
    made = job(tmp_path)
    trees = steiner_trees(
        np.array([0, 2, 4]), np.array([0.0, 99, 0, 80]), np.array([0.0, 0, 0, 40])
    )
    short, long = wire_ff(trees, made.metal)
    assert short == pytest.approx(99 * 0.105)
    assert long == pytest.approx(120 * 0.111)


def test_a_cell_without_outline_is_named(tmp_path: Path) -> None:
    netlist = chains()
    netlist.cells["g_0_0"].kind = "NAND9_X1"
    netlist.inputs["NAND9_X1"] = netlist.inputs["NAND2_X1"]
    made = Netlist(netlist.top, netlist.ports, netlist.cells, netlist.inputs, netlist.last_net)
    with pytest.raises(CosignError, match="holds NAND9_X1, which rtk-tech"):
        job(tmp_path, made).wiring()
