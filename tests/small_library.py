"""A cell library of our own, small enough to read: its parts, and what they may be replaced by.

Tables are linear in the load, so every delay can be worked out by hand: `base` nanoseconds and 1 ns
for the largest load. ABC needs at least three points on each axis.
"""

from collections.abc import Sequence

HEADER = """\
  delay_model : table_lookup;
  time_unit : "1ns";
  voltage_unit : "1V";
  current_unit : "1mA";
  leakage_power_unit : "1nW";
  pulling_resistance_unit : "1kohm";
  capacitive_load_unit (1, ff);
  nom_voltage : 1.1;
  input_threshold_pct_rise : 50;
  input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50;
  output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 30;
  slew_lower_threshold_pct_fall : 30;
  slew_upper_threshold_pct_rise : 70;
  slew_upper_threshold_pct_fall : 70;
  default_max_transition : 2.0;
  default_wire_load : "short";
  wire_load ("short") {
    capacitance : 0.5; resistance : 0.001; slope : 2.0;
    fanout_length (1, 1.0); fanout_length (3, 4.0);
  }
  lu_table_template (grid) {
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0.01, 0.1, 0.5"); index_2 ("0, 30, 60");
  }
  lu_table_template (setup) {
    variable_1 : related_pin_transition; variable_2 : constrained_pin_transition;
    index_1 ("0.01, 0.5"); index_2 ("0.01, 0.5");
  }
"""


def _delays(base: float, load: float) -> str:
    index = f'index_1 ("0.01, 0.1, 0.5"); index_2 ("0, {load / 2}, {load}");'
    rows = (f'"{base + x:.3f}, {base + x + 0.5:.3f}, {base + x + 1:.3f}"' for x in (0, 0.02, 0.1))
    values = "values (" + ", \\\n".join(rows) + ");"
    slews = 'values ("0.01, 0.4, 0.8", "0.02, 0.41, 0.81", "0.1, 0.5, 0.9");'
    kinds = ("cell_rise", values), ("cell_fall", values)
    kinds += ("rise_transition", slews), ("fall_transition", slews)
    return " ".join(f"{kind} (grid) {{ {index} {what} }}" for kind, what in kinds)


def _inputs(pins: Sequence[str], capacitance: float) -> str:
    return "".join(
        f"    pin ({pin}) {{ direction : input; capacitance : {capacitance}; }}\n" for pin in pins
    )


def gate(
    name: str,
    area: float,
    function: str,
    pins: Sequence[str] = ("A",),
    base: float = 0.01,
    load: float = 60.0,
    extra: str = "",
) -> str:
    """A gate with the output Y, which may drive `load` femtofarads."""
    delays = _delays(base, load)
    signs = {"!": "negative_unate", "^": "non_unate"}
    sense = next((signs[s] for s in signs if s in function), "positive_unate")
    arcs = "".join(
        f'      timing () {{ related_pin : "{pin}"; timing_sense : {sense}; {delays} }}\n'
        for pin in pins
    )
    return (
        f"  cell ({name}) {{\n    area : {area}; {extra}\n{_inputs(pins, load / 60)}"
        f'    pin (Y) {{ direction : output; max_capacitance : {load}; function : "{function}";\n'
        f"{arcs}    }}\n  }}\n"
    )


def flip_flop(
    name: str = "DFF",
    area: float = 5.0,
    state: str = 'next_state : "D"; clocked_on : "CK";',
    outputs: Sequence[tuple[str, str]] = (("Q", "IQ"), ("QN", "IQN")),
    pins: Sequence[str] = ("D",),
    extra: str = "",
    load: float = 60.0,
) -> str:
    """A flip-flop with the clock CK and further input `pins`."""
    checks = "".join(
        f'      timing () {{ related_pin : "CK"; timing_type : {kind}_rising; '
        + " ".join(
            f'{edge}_constraint (setup) {{ values ("{limit}, {limit}", "{limit}, {limit}"); }}'
            for edge in ("rise", "fall")
        )
        + " }\n"
        for kind, limit in (("setup", 0.03), ("hold", 0.0))
    )
    falling = "!CK" in state or "CK'" in state
    if falling:
        checks = checks.replace("_rising", "_falling")
    arc = (
        f'timing () {{ related_pin : "CK"; timing_type : {"fall" if falling else "ris"}ing_edge; '
        f"timing_sense : non_unate; {_delays(0.05, load)} }}"
    )
    text = f"  cell ({name}) {{\n    area : {area}; {extra}\n    ff (IQ, IQN) {{ {state} }}\n"
    text += f"    pin (D) {{ direction : input; capacitance : 1.0;\n{checks}    }}\n"
    text += _inputs([pin for pin in pins if pin != "D"], 1.0)
    text += "    pin (CK) { direction : input; clock : true; capacitance : 1.0; }\n"
    for pin, function in outputs:
        text += (
            f"    pin ({pin}) {{ direction : output; max_capacitance : {load}; "
            f'function : "{function}";\n      {arc}\n    }}\n'
        )
    return text + "  }\n"


def tie(name: str, *outputs: tuple[str, str]) -> str:
    """A cell without inputs, each output with its constant."""
    pins = "".join(
        f'    pin ({pin}) {{ direction : output; function : "{value}"; }}\n'
        for pin, value in outputs
    )
    return f"  cell ({name}) {{\n    area : 0.5;\n{pins}  }}\n"


INVERTERS = gate("INV_X1", 1.0, "!A") + gate("INV_X2", 1.5, "!A", load=120.0)
BUFFERS = gate("BUF_X1", 1.5, "A", base=0.02) + gate("BUF_X2", 2.0, "A", base=0.02, load=120.0)
GATES = (
    gate("NAND2_X1", 1.2, "!(A & B)", ("A", "B"))
    + gate("NOR2_X1", 1.2, "!(A | B)", ("A", "B"))
    + gate("AOI21_X1", 1.6, "!((A & B) | C)", ("A", "B", "C"))
    + gate("XOR2_X1", 2.0, "A ^ B", ("A", "B"))
)
TIES = tie("HIGH", ("Y", "1")) + tie("LOW", ("Y", "0"))


def library(
    flip_flops: str | None = None,
    buffers: str = BUFFERS,
    ties: str = TIES,
    more: str = "",
    header: str = HEADER,
    name: str = "small",
) -> str:
    """The text of the library, with parts of it replaced."""
    cells = INVERTERS + buffers + GATES + ties + more
    states = flip_flop() if flip_flops is None else flip_flops
    return f"library ({name}) {{\n{header}{cells}{states}}}\n"
