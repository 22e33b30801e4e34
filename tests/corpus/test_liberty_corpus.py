"""Cell libraries as people have them: every spelling, every kind of cell, every open kit.

A spelling must be read as the plain file is. A kind of cell must give a netlist that Yosys, which
reads the file itself, proves equal to the RTL. Open kits are looked for in shared/data/real/liberty
above this folder, and what needs them is skipped where they are not.
"""

import dataclasses
import gzip
import re
from collections.abc import Callable
from pathlib import Path

import proof
import pytest
import small_library as small
from random_layers import random_input, random_layer

from compress.model.graph import Geometry
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.program.pack import pack_layer
from sim.record import Recording, record
from sim.run import simulators_dir
from sim.simulate import Job
from synth.energy import cell_powers, combine
from synth.liberty import Library, read_library, syntax
from synth.netlist import Netlist
from synth.pdk import Pdk, find_pdk
from synth.replay import replay
from synth.report import synthesize
from synth.sta import TimingRecord, sign_off

Spelling = Callable[[str], str | bytes]

SPELLINGS: dict[str, Spelling] = {
    "comment to the end of the line": lambda t: "// made by hand {\n" + t,
    "comment with braces": lambda t: t.replace("  cell (DFF)", '/* } { " */ cell (DFF)'),
    "lines end in CR LF": lambda t: t.replace("\n", "\r\n"),
    "lines end in CR": lambda t: t.replace("\n", "\r"),
    "byte order mark": lambda t: "\ufeff" + t,
    "letters of Latin-1": lambda t: ("/* \xa9 M\xfcller, \xb5m */\n" + t).encode("latin-1"),
    "braces in a string": lambda t: t.replace("{\n", '{\n comment : "a {tt}; rev {1";\n', 1),
    "semicolon in a string": lambda t: t.replace("{\n", '{\n date : "Mon; 1 Jan";\n', 1),
    "quote in a string": lambda t: t.replace("{\n", '{\n comment : "a \\"b\\" {";\n', 1),
    "semicolon after a group": lambda t: re.sub(r"\}\s*\n", "};\n", t),
    "no semicolons": lambda t: re.sub(r";[ \t]*\n", "\n", t.replace("; ", ";\n")),
    "space after a backslash": lambda t: t.replace("\\\n", "\\  \n"),
    "values over lines": lambda t: t.replace("\\\n", "\n"),
    "names in quotes": lambda t: re.sub(r"(cell|pin|ff) \(([^)]*)\)", _quoted, t),
    "words in quotes": lambda t: re.sub(r"direction : (\w+)", r'direction : "\1"', t),
    "numbers in quotes": lambda t: re.sub(r"\b(area|capacitance) : ([\d.]+)", r'\1 : "\2"', t),
    "units without quotes": lambda t: re.sub(r'_unit : "(\w+)"', r"_unit : \1", t),
    "capacitance unit in quotes": lambda t: t.replace("(1, ff)", '("1.0", "fF")'),
    "no spaces": lambda t: re.sub(r" ?([:{}();,]) ?", r"\1", t),
    "everything on one line": lambda t: " ".join(t.replace("\\\n", " ").split()),
    "next state bare": lambda t: t.replace('next_state : "D"', "next_state : D"),
    "next state in parentheses": lambda t: t.replace('next_state : "D"', 'next_state : " ( D ) "'),
    "words for operators": lambda t: t.replace(" & ", " * ").replace(" | ", " + "),
    "nothing for and": lambda t: t.replace("A & B", "A B"),
    "inversion behind": lambda t: t.replace('"!A"', '"A\'"').replace('"!(A & B)"', '"(A & B)\'"'),
    "gzip": lambda t: gzip.compress(t.encode()),
    "twice in a file": lambda t: t + t.replace("library (small)", "library (again)"),
    "capitals": lambda t: t.replace("(1, ff)", "(1, FF)").replace('"1ns"', '"1NS"'),
}


def _quoted(match: re.Match[str]) -> str:
    names = ", ".join(f'"{name.strip()}"' for name in match[2].split(","))
    return f"{match[1]} ({names})"


def test_every_spelling_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "small.lib"
    path.write_text(small.library())
    plain = read_library(path)
    for name, spell in SPELLINGS.items():
        spelled = spell(small.library())
        assert spelled != small.library(), name
        path = tmp_path / f"{name}.lib"
        path.write_bytes(spelled if isinstance(spelled, bytes) else spelled.encode())
        found = read_library(path)
        same = {"header", "text", "sha256"}
        for field in {f.name for f in dataclasses.fields(Library)} - same:
            assert getattr(found, field) == getattr(plain, field), (name, field)
        # Units are spelled as in the file.
        assert _tokens(found.text) == _tokens(plain.text), name


def _tokens(text: str) -> str:
    """Text for tools without what may differ: quotes, spaces, the spelling of units."""
    lines = (line for line in text.splitlines() if "_unit" not in line)
    return re.sub(r'[\s"]', "", "".join(lines)).replace(".0;", ";")


@pytest.mark.parametrize("name", ["a path with spaces.lib", "brace{1}$x[2].lib", "semi;colon'.lib"])
def test_names_of_files_do_not_matter(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(small.library())
    folder = tmp_path / "run"
    folder.mkdir()
    netlist, _ = proof.mapped([path], folder)
    assert proof.timed(netlist, [path], folder, 2.0).slack_ns > 0


RESET = 'next_state : "D"; clocked_on : "CK"; clear : "!RN";'
BOTH = 'next_state : "D"; clocked_on : "CK"; clear : "!RN"; preset : "S"; clear_preset_var1 : L;'
FALLING = 'next_state : "D"; clocked_on : "!CK";'
INVERSE = 'next_state : "!D"; clocked_on : "CK";'
Q, QN = ("Q", "IQ"), ("QN", "IQN")
SLOW_BUFFER = small.gate("SLOW", 1.4, "A", base=0.3)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A library, and what it must be read as; `cells` are in the netlist, `never` is not."""

    text: str
    flip_flop: str = "DFF"
    cells: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    notes: str = ""


KINDS = {
    "plain": Kind(small.library(), cells=("DFF", "HIGH", "LOW")),
    "reset only": Kind(
        small.library(small.flip_flop("DFFR", state=RESET, pins=("D", "RN"))),
        "DFFR",
        notes="RN of DFFR is tied off",
    ),
    "set and reset only": Kind(
        small.library(small.flip_flop("DFFRS", state=BOTH, pins=("D", "RN", "S"))),
        "DFFRS",
        notes="RN, S of DFFRS is tied off",
    ),
    "reset, and plain": Kind(
        small.library(
            small.flip_flop("DFFR", 1.0, state=RESET, pins=("D", "RN")) + small.flip_flop()
        ),
        never=("DFFR",),
    ),
    "falling edge only": Kind(
        small.library(small.flip_flop("DFFN", state=FALLING)),
        "DFFN",
        notes="the clock of DFFN is inverted",
    ),
    "QN only": Kind(
        small.library(small.flip_flop("DFFQN", outputs=(QN,))), "DFFQN", notes="shows the inverse"
    ),
    "state inverted, QN is Q": Kind(
        small.library(small.flip_flop("DFFI", state=INVERSE, outputs=(("Q", "IQN"),))), "DFFI"
    ),
    "state inverted, one output": Kind(
        small.library(small.flip_flop("DFFI", state=INVERSE, outputs=(("QN", "IQ"),))),
        "DFFI",
        notes="shows the inverse",
    ),
    "everything inverted": Kind(
        small.library(
            small.flip_flop(
                "ODD",
                state='next_state : "D\'"; clocked_on : "CK\'"; clear : "RN\'";',
                outputs=(("Y", "IQ"),),
                pins=("D", "RN"),
            )
        ),
        "ODD",
        notes="tied off",
    ),
    "inverse is cheaper": Kind(
        small.library(small.flip_flop("BIG", 9.0, outputs=(Q,)) + small.flip_flop(outputs=(QN,))),
        never=("BIG",),
    ),
    "scan, and plain": Kind(
        small.library(
            small.flip_flop(
                "SDFF",
                1.0,
                'next_state : "(SE & SI) | (!SE & D)"; clocked_on : "CK";',
                pins=("D", "SE", "SI"),
            )
            + small.flip_flop()
        ),
        never=("SDFF",),
    ),
    "flip-flop not to be used": Kind(
        small.library(small.flip_flop("DFFX", 1.0, extra="dont_use : TRUE;") + small.flip_flop()),
        never=("DFFX",),
    ),
    "two outputs of a tie cell": Kind(
        small.library(ties=small.tie("CONB", ("HI", "1"), ("LO", "0"))), cells=("CONB",)
    ),
    "no tie cell": Kind(
        small.library(ties=""),
        notes="no cell ties a net to 0 or 1: INV_X1 with its input on a rail",
    ),
    "one tie cell": Kind(
        small.library(ties=small.tie("LOW", ("Y", "0"))),
        cells=("LOW",),
        notes="no cell ties a net to 1",
    ),
    "delay cell by name": Kind(
        small.library(more=small.gate("DLY4_X1", 0.1, "A", load=300.0)), never=("DLY4_X1",)
    ),
    "delay cell by its tables": Kind(small.library(more=SLOW_BUFFER), never=("SLOW",)),
    "clock cell": Kind(
        small.library(
            more=small.gate("CLKBUF_X1", 0.1, "A") + small.gate("kit_clkinv_1", 0.1, "!A")
        ),
        never=("CLKBUF_X1", "kit_clkinv_1"),
    ),
    "pin that does nothing": Kind(
        small.library(more=small.gate("WASTE", 0.1, "!A", ("A", "B"))), never=("WASTE",)
    ),
    "no area": Kind(small.library(more=small.gate("FREE", 0.0, "!A")), never=("FREE",)),
    "no wire load": Kind(
        small.library(header=small.HEADER.replace("default_wire_load :", "// ")),
        notes="wires have no capacitance",
    ),
}


def synthesised(kind: Kind, folder: Path) -> tuple[Netlist, Library, TimingRecord, Path]:
    path = folder / "kind.lib"
    path.write_text(kind.text)
    netlist, library = proof.mapped([path], folder)
    return netlist, library, proof.timed(netlist, [path], folder, 2.0), path


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_of_cell(kind: Kind, tmp_path: Path) -> None:
    netlist, library, record, path = synthesised(kind, tmp_path)
    assert [cell.name for cell in library.flip_flops] == [kind.flip_flop]
    used = {cell.kind for cell in netlist.cells.values()}
    assert {kind.flip_flop, *kind.cells} <= used
    assert not used & set(kind.never)
    assert not {c.name for c in library.buffers + library.inverters} & set(kind.never)
    assert all(library.cells[name].refused for name in kind.never)
    assert kind.notes in "; ".join(library.notes)
    assert bool(kind.notes) or not library.notes or kind.text != small.library()
    assert 0.5 < record.slack_ns < 2.0  # a falling edge that was half a period off would cost 1 ns
    names = set(netlist.origins.values())
    assert {"q_0", "count_2"} <= names
    proof.prove([path], tmp_path)


def test_the_proof_finds_a_fault(tmp_path: Path) -> None:
    _, _, _, path = synthesised(KINDS["plain"], tmp_path)
    netlist = tmp_path / "netlist.v"
    netlist.write_text(netlist.read_text().replace("NAND2_X1 ", "NOR2_X1 ", 1))
    with pytest.raises(CosignError):
        proof.prove([path], tmp_path)


def test_units_change_no_figure(tmp_path: Path) -> None:
    """The same library in picoseconds and picofarads: the same netlist, the same slack."""
    found = []
    for name, times, loads in (("ns", 1.0, 1.0), ("ps", 1e3, 1.0), ("pf", 1.0, 1e-3)):
        folder = tmp_path / name
        folder.mkdir()
        text = small.library().replace("1ns", "1ps" if times > 1 else "1ns")
        text = text.replace("(1, ff)", "(1, pf)" if loads < 1 else "(1, ff)")
        (group,) = syntax.parse(text, name).groups
        _scale(group, times, loads)
        kind = Kind("\n".join(syntax.written(group)))
        _, library, record, _ = synthesised(kind, folder)
        found.append((record, (folder / "netlist.v").read_text()))
        assert library.cells["INV_X1"].delay_ns == pytest.approx(0.01)
        assert library.cells["INV_X2"].capacitance_ff == {"A": pytest.approx(2.0)}
        assert library.wire_load_ff(1) == pytest.approx(0.5)
    for record, netlist in found:
        assert netlist == found[0][1]
        assert record.slack_ns == pytest.approx(found[0][0].slack_ns, abs=2e-4)
        assert [stage.delay_ns for stage in record.stages] == pytest.approx(
            [stage.delay_ns for stage in found[0][0].stages], abs=2e-4
        )


def _scale(group: syntax.Group, times: float, loads: float) -> None:
    """Write all times and loads in another unit, in place."""
    axes = {"values": times, "index_1": times, "index_2": loads}
    if group.args == ("setup",):  # both axes are transitions
        axes["index_2"] = times
    for index, (name, raw) in enumerate(group.lists):
        if name in axes and group.kind != "wire_load":
            group.lists[index] = (
                name,
                re.sub(
                    r"[\d.]+", lambda number, by=axes[name]: f"{float(number[0]) * by:.9g}", raw
                ),
            )
    for name in ("capacitance", "max_capacitance", "default_max_transition"):
        if name in group.attributes:
            by = times if name == "default_max_transition" else loads
            group.attributes[name] = f"{group.number(name) * by:.9g}"
    for child in group.groups:
        _scale(child, times, loads)


def real(pattern: str) -> list[Path]:
    """The files of an open kit; the test is skipped without them."""
    for folder in Path(__file__).resolve().parents:
        if found := sorted((folder / "shared" / "data" / "real" / "liberty").glob(pattern)):
            return found
    pytest.skip(f"no {pattern} in shared/data/real/liberty")


@dataclasses.dataclass(frozen=True)
class Kit:
    """An open kit: its files, and what serves for what in it."""

    pattern: str
    flip_flop: str
    buffers: tuple[str, ...]
    ties: tuple[str, str]
    refused: dict[str, str]
    family: tuple[str, str]


KITS = {
    "sky130hd": Kit(
        "sky130hd*",
        "sky130_fd_sc_hd__dfxtp_1",
        tuple(f"sky130_fd_sc_hd__buf_{n}" for n in (1, 2, 4, 6, 8)),
        ("sky130_fd_sc_hd__conb_1.HI", "sky130_fd_sc_hd__conb_1.LO"),
        {
            "sky130_fd_sc_hd__dlymetal6s2s_1": "delay cell",
            "sky130_fd_sc_hd__clkdlybuf4s50_1": "clock cell",
            "sky130_fd_sc_hd__lpflow_inputiso0n_1": "isolation cell",
            "sky130_fd_sc_hd__edfxtp_1": "scan or enable flip-flop",
            "sky130_fd_sc_hd__bufinv_8": "times as slow",
        },
        ("sky130_fd_sc_hd__nand2_4", "nand2"),
    ),
    "sg13g2": Kit(
        "sg13g2*",
        "sg13g2_dfrbpq_1",
        tuple(f"sg13g2_buf_{n}" for n in (1, 2, 4, 8, 16)),
        ("sg13g2_tiehi.L_HI", "sg13g2_tielo.L_LO"),
        {"sg13g2_dlygate4sd1_1": "delay cell", "sg13g2_sighold": "dont_use"},
        ("sg13g2_a21oi_2", "a21oi"),
    ),
    "gf180mcu": Kit(
        "gf180mcu*",
        "gf180mcu_fd_sc_mcu7t5v0__dffq_1",
        tuple(f"gf180mcu_fd_sc_mcu7t5v0__buf_{n}" for n in (1, 2, 3, 4, 8, 12, 16, 20)),
        ("gf180mcu_fd_sc_mcu7t5v0__tieh.Z", "gf180mcu_fd_sc_mcu7t5v0__tiel.ZN"),
        {
            "gf180mcu_fd_sc_mcu7t5v0__dlya_1": "delay cell",
            "gf180mcu_fd_sc_mcu7t5v0__hold": "pin in both directions",
        },
        ("gf180mcu_fd_sc_mcu7t5v0__oai33_1", "oai33"),
    ),
    "asap7": Kit(
        "asap7*",
        "DFFHQNx1_ASAP7_75t_R",
        tuple(
            f"{n}_ASAP7_75t_R"
            for n in (
                "HB1xp67",
                *(f"BUFx{n}" for n in ["2", "3", "4", "5", "6f", "8", "10", "12", "16f", "24"]),
            )
        ),
        ("TIEHIx1_ASAP7_75t_R.H", "TIELOx1_ASAP7_75t_R.L"),
        {"HB4xp67_ASAP7_75t_R": "times as slow", "CKINVDCx8_ASAP7_75t_R": "clock cell"},
        ("NAND2x1p5_ASAP7_75t_R", "NAND2"),
    ),
}


@pytest.mark.parametrize("kit", KITS.values(), ids=KITS)
def test_every_open_kit(kit: Kit, tmp_path: Path) -> None:
    """What serves for what; a netlist equal to the RTL; OpenSTA's figures of the kit's own file."""
    files = real(kit.pattern)
    netlist, library = proof.mapped(files, tmp_path)
    assert library.flip_flops[0].name == kit.flip_flop
    assert tuple(cell.name for cell in library.buffers) == kit.buffers
    assert tuple(".".join(tie) for tie in (library.tie_high, library.tie_low) if tie) == kit.ties
    for name, reason in kit.refused.items():
        assert reason in library.cells[name].refused
    assert library.family_name(kit.family[0]) == kit.family[1]
    record = proof.timed(netlist, files, tmp_path, 10.0)
    assert 5.0 < record.slack_ns < 10.0
    unpacked = []
    for number, file in enumerate(files):
        unpacked.append(tmp_path / f"kit{number}.lib")
        unpacked[-1].write_bytes(gzip.decompress(file.read_bytes()))
    proof.prove(unpacked, tmp_path)
    if len(files) == 1:
        own = dataclasses.replace(library, text=unpacked[0].read_text())
        pdk = Pdk(tuple(files), own)
        again = sign_off(tmp_path / "netlist.v", "top", pdk, tmp_path / "macros.lib", 10.0)
        assert again == record


CORE = CoreConfig(
    "dense-scalar",
    lanes=1,
    act_banks=2,
    bank_bytes=4,
    act_depth=64,
    weight_depth=32,
    weight_bits=4,
    acc_bits=18,
    mul_bits=8,
)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """What goes in and out of the core's RTL while it computes a layer."""
    geometry = Geometry("conv", 3, 4, 5, 5, kernel=(3, 3), padding=(1, 1))
    layer = random_layer(geometry, 0.5, seed=0, mul=139, shift=12)
    job = Job(pack_layer(layer, CORE), random_input(geometry, seed=0)[0])
    return record([job], CORE, simulators_dir(), stall_seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kit", KITS.values(), ids=KITS)
def test_a_core_in_every_open_kit(kit: Kit, tmp_path: Path, recording: Recording) -> None:
    """Area, clock, blocks and energy, and every output that of the RTL in every cycle."""
    files = real(kit.pattern)
    pdk = find_pdk(files)
    report = synthesize(CORE, tmp_path, files)
    plain = synthesize(CORE, None)
    assert report.flip_flops == plain.flip_flops
    assert report.fmax_hz == pytest.approx(1e9 / (CORE.clock_ns - report.slack_ns))
    assert report.blocks_um2["unattributed"] == 0
    assert report.blocks_um2["shared"] < 0.02 * report.logic_um2
    for block, area in plain.blocks_um2.items():  # every block has its share in every kit
        share = area / plain.logic_um2
        assert report.blocks_um2[block] / report.logic_um2 == pytest.approx(share, abs=0.05)
    assert not any(pdk.library.cells[kind].refused for kind in set(report.cells) - pdk.library.ties)
    activity = replay(tmp_path / "netlist.v", pdk.library, recording.inputs, recording.outputs)
    assert activity.checked > 10_000
    energy = combine(cell_powers(tmp_path, pdk), activity)
    assert energy.clock_pj > 0
    assert energy.toggle_pj > 0
    assert energy.annotated > 0.95
