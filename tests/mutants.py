"""Mutation check of `rtl/`: small faults, each of which some test must find.

Every mutant is one exact piece of text in one file, replaced in a temporary copy of the tree; then
only the tests run that are named beside it, and at least one must fail. First they all run on the
copy without a mutant, and must pass. Prints a line for each mutant; `--out` writes the table.

    python tests/mutants.py --jobs 2 --out docs/results/mutants.md

Exit status 1 when a mutant survives that is not known to be equivalent.
"""

import argparse
import concurrent.futures
import os
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("compress", "cosign", "rtl", "sim", "tests")
LIMIT_S = 900
"""A test that takes longer hangs on its mutant, and so has found it."""

CORE = "tests/rtl/test_core.py::"
PARTS = "tests/rtl/test_parts.py::"
PACK = "tests/rtl/test_pack.py"
LAYOUT = "tests/rtl/test_layout.py"
SOC = "tests/rtl/soc/"


def small(*cores: str) -> tuple[str, ...]:
    return tuple(f"{CORE}test_small_cores_bit_for_bit[{core}-0]" for core in cores)


def stalling(core: str) -> tuple[str, ...]:
    return (f"{CORE}test_small_cores_bit_for_bit[{core}-0.4]",)


def malformed(core: str) -> tuple[str, ...]:
    return (f"{CORE}test_every_malformed_stream_raises_its_error_and_no_other[{core}]",)


def needless(core: str) -> tuple[str, ...]:
    return (f"{CORE}test_no_word_is_taken_that_the_layer_does_not_need[{core}]",)


TOP = (f"{SOC}test_top.py",)
AXI_LITE = (f"{SOC}test_axilite.py",)
PACKETS = (f"{SOC}test_packets.py",)
REGISTERS = (f"{SOC}test_registerfile.py",)
MASKS = (f"{PARTS}test_the_mask_decoder_visits_every_set_bit",)
TAPS = (f"{PARTS}test_dense_counters_visit_every_tap_in_order",)
DRAIN = (f"{PARTS}test_the_drain_never_has_more_words_on_their_way_than_the_queue_holds",)
ROUNDING = (f"{PARTS}test_requantizer_rounds_half_up_and_saturates",)


@dataclass(frozen=True)
class Mutant:
    """A fault of a file below `rtl/`.

    what : the fault in words
    old, new : the text, which is there exactly once, and what it becomes
    tests : those that should find it, as pytest names them
    equivalent : why nothing can find it, if so
    """

    file: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""


MUTANTS = (
    # Weights on chip.
    Mutant(
        "weights.py",
        "overflow when the weight buffer is exactly full",
        "fire & ~self.ends & (self.write_pointer",
        "fire & (self.write_pointer",
        small("sparse"),
    ),
    Mutant(
        "weights.py",
        "overflow a word too early",
        "self.write_pointer == self._depth - 1",
        "self.write_pointer == self._depth - 2",
        small("absolute"),
    ),
    Mutant(
        "weights.py",
        "overflow a word too late",
        "fire & ~self.ends & (self.write_pointer == self._depth - 1)",
        "fire & ~self.ends & (self.write_pointer == self._depth)",
        malformed("dense-2d"),
    ),
    Mutant(
        "weights.py",
        "a dense core's buffer is filled again before its last words are read",
        "self.enable & ~held.bit_select(write_side, 1)",
        "self.enable & ~self.ready.bit_select(write_side, 1)",
        small("dense-scalar"),
    ),
    Mutant(
        "weights.py",
        "a start does not begin with memory 0",
        "for s in (write_side, self.write_pointer, self.ready, held)",
        "for s in (self.write_pointer, self.ready, held)",
        (*malformed("sparse"), *small("sparse")),
    ),
    Mutant(
        "weights.py",
        "a pass is read once, not for every tile",
        "pass_ends.eq(ends & (tile == self.last_tile))",
        "pass_ends.eq(ends)",
        small("sparse-rows"),
    ),
    Mutant(
        "weights.py",
        "the router never stops after the last pass",
        "loaded_all.eq(passes == self.last_pass)",
        "loaded_all.eq(0)",
        needless("sparse"),
    ),
    Mutant(
        "weights.py",
        "the table of tap addresses ends a word early",
        "tabled.eq(self.slot == self.last_slot)",
        "tabled.eq(self.slot + 1 == self.last_slot)",
        small("bitmask"),
    ),
    Mutant(
        "weights.py",
        "a table address that wraps is not beyond the memory",
        "self.beyond.eq(wrapped | outside(config, self.address))",
        "self.beyond.eq(outside(config, self.address))",
        malformed("bitmask"),
    ),
    # Activations.
    Mutant(
        "activation.py",
        "overflow when the activation memory is exactly full",
        "fire & ~last & (write_row == config.act_depth - 1)",
        "fire & (write_row == config.act_depth - 1)",
        small("sparse"),
    ),
    Mutant(
        "activation.py",
        "overflow a row too late",
        "fire & ~last & (write_row == config.act_depth - 1)",
        "fire & ~last & (write_row == config.act_depth)",
        malformed("dense-2d"),
    ),
    Mutant(
        "activation.py",
        "the bank of the address reads the next row",
        "wraps = bank < first_bank",
        "wraps = bank <= first_bank",
        small("sparse"),
    ),
    Mutant(
        "activation.py",
        "loading goes on in the cycle after a swap",
        "open_.eq((double | ~self.busy) & ~self.swap)",
        "open_.eq(double | ~self.busy)",
        small("sparse"),
    ),
    Mutant(
        "activation.py",
        "`bad` outlives the map that was",
        "self.bad.eq((self.bad | overflow) & ~self.swap)",
        "self.bad.eq(self.bad | overflow)",
        malformed("sparse"),
        "a bad map is taken into use by a start alone, whose error resets the whole memory",
    ),
    # Bitmask.
    Mutant(
        "bitmask.py",
        "a filter with a level too few is not seen",
        "wrong = (used != length + 1)",
        "wrong = (used < length + 1)",
        malformed("bitmask"),
    ),
    Mutant(
        "bitmask.py",
        "a filter with a level too many is not seen",
        "wrong = (used != length + 1)",
        "wrong = (used > length + 1)",
        malformed("bitmask"),
    ),
    Mutant(
        "bitmask.py",
        "a mask word is left after its first bit",
        "self.i_valid & (~self.valid | (self.issue & word_ends))",
        "self.i_valid & (~self.valid | self.issue)",
        MASKS,
    ),
    Mutant(
        "bitmask.py",
        "the period's address is kept for the next filter",
        "m.d.sync += [word.eq(0), self.period.eq(0)]",
        "m.d.sync += word.eq(0)",
        MASKS,
    ),
    # Rows.
    Mutant(
        "rows.py",
        "a row that ends late is not seen",
        "issue & (last != (ends & self.at_last))",
        "issue & last & ~(ends & self.at_last)",
        malformed("sparse-rows"),
    ),
    Mutant(
        "rows.py",
        "a row that ends early is not seen",
        "issue & (last != (ends & self.at_last))",
        "issue & ~last & ends & self.at_last",
        malformed("sparse-rows"),
    ),
    Mutant(
        "rows.py",
        "one window ahead, not two",
        "self.enable & (windows != 2)",
        "self.enable & (windows != 1)",
        small("sparse-rows"),
    ),
    Mutant(
        "rows.py",
        "both windows read from the first one",
        "read + Mux(self.side, config.window_reads, 0)",
        "read",
        small("sparse-rows"),
    ),
    # Dense counters.
    Mutant(
        "dense.py",
        "the horizontal phase never wraps",
        "phase_x.eq(Mux(wraps_x, 0, phase_x + 1))",
        "phase_x.eq(phase_x + 1)",
        TAPS,
    ),
    Mutant(
        "dense.py",
        "the channel counts on into the next tile",
        "channel.eq(Mux(self.at_last, 0, channel + 1))",
        "channel.eq(channel + 1)",
        TAPS,
    ),
    Mutant(
        "dense.py",
        "reads behind the memory are no error",
        "address.valid & outside(config, address.address)",
        "0",
        malformed("dense-2d"),
    ),
    # Drain.
    Mutant(
        "drain.py",
        "words that leave free no place",
        "free.eq(free + self.popped - self.take)",
        "free.eq(free - self.take)",
        DRAIN,
    ),
    Mutant(
        "drain.py",
        "a tile may end while the last word of the one before waits",
        "((left == 1) & self.take)",
        "(left == 1)",
        DRAIN,
    ),
    Mutant(
        "drain.py",
        "biases are ready when the last one is missing",
        "self.ready.eq(missing == 1)",
        "self.ready.eq(missing <= 2)",
        stalling("dense-2d"),
    ),
    Mutant(
        "drain.py",
        "the bias behind the layer's last is taken",
        "self.start | (self.swap & self.more)",
        "self.start | self.swap",
        needless("dense-2d"),
    ),
    Mutant(
        "drain.py",
        "a filter's bias is used for one word less",
        "self.row_end.eq(in_row == row_shifts - 1)",
        "self.row_end.eq(in_row + 2 == row_shifts)",
        small("sparse-rows"),
    ),
    # What all share.
    Mutant(
        "fanout.py",
        "a leaf of a broadcast comes from the wrong stem",
        "register_copy(m, stems[n // BRANCHES], f",
        "register_copy(m, stems[0] if n else value, f",
        small("sparse-rows"),
    ),
    Mutant(
        "lane.py",
        "the product that arrives with `snap` is lost",
        "acc.eq(Mux(self.snap, 0, acc) + product)",
        "acc.eq(Mux(self.snap, 0, acc + product))",
        small("sparse"),
    ),
    Mutant(
        "lane.py",
        "the high half of a split product is misplaced",
        "high << half",
        "high << (half - 1)",
        small("bitmask"),
    ),
    Mutant(
        "layer.py",
        "steps of a dense core lose their highest bit",
        "config.address_bits for name in STEPS",
        "config.address_bits - 1 for name in STEPS",
        small("dense-scalar"),
    ),
    Mutant(
        "requantize.py",
        "rounds down",
        "rounded = (narrow + 1) >> 1",
        "rounded = narrow >> 1",
        ROUNDING,
    ),
    Mutant(
        "requantize.py",
        "saturates at -127",
        "low = Mux(self.relu, 0, -128)",
        "low = Mux(self.relu, 0, -127)",
        ROUNDING,
    ),
    Mutant(
        "requantize.py",
        "a large value is taken for one that fits",
        "fits = high.all() | ~high.any()",
        "fits = high[1:].all() | ~high[1:].any()",
        ROUNDING,
    ),
    Mutant(
        "sequence.py",
        "convolution groups read the first one's channels",
        "Mux(in_group == layer.last_in_group, layer.group_step, 0)",
        "0",
        small("sparse"),
    ),
    Mutant(
        "sequence.py",
        "a start keeps the last layer's base address",
        "                group_base.eq(0),\n                self.base.eq(0),\n",
        "                group_base.eq(0),\n",
        small("sparse"),
    ),
    Mutant(
        "sequence.py",
        "a tile ends whether or not it may",
        "self.running & self.ready & (~self.at_last | self.may_end)",
        "self.running & self.ready",
        small("sparse"),
    ),
    Mutant(
        "sparse.py",
        "a filler weighs",
        "present.eq(issued & ~place.all())",
        "present.eq(issued)",
        small("sparse"),
    ),
    Mutant(
        "sparse.py",
        "an end that fillers pass is forgotten",
        "carry | (wrapped & ~first) if relative else carry",
        "carry",
        malformed("sparse"),
    ),
    Mutant(
        "sparse.py",
        "a filter begins where the last one ended",
        "(Mux(first, base, self.address) if relative else base)",
        "(self.address if relative else base)",
        small("sparse"),
    ),
    Mutant(
        "timing.py",
        "the output queue is two words too small",
        "return output_latency(config) + 2",
        "return output_latency(config) - 2",
        small("absolute"),
    ),
    Mutant(
        "timing.py",
        "weights of `sparse-rows` come a cycle early",
        'ACT_EDGE + 2 if config.core == "sparse-rows"',
        'ACT_EDGE + 1 if config.core == "sparse-rows"',
        small("sparse-rows"),
    ),
    Mutant(
        "core.py",
        "`o_last` only while the word is taken",
        "self.o_last.eq(output.o_last)",
        "self.o_last.eq(output.o_last & self.o.ready)",
        stalling("sparse"),
    ),
    Mutant(
        "core.py",
        "every error empties the activation memories",
        "spill.eq(flush & self.error[Error.ACTS])",
        "spill.eq(flush)",
        malformed("sparse"),
    ),
    Mutant(
        "core.py",
        "done before the last word has left",
        "running & ~source.running & drain.idle & ~giving_up",
        "running & ~source.running & ~giving_up",
        small("sparse"),
    ),
    Mutant(
        "core.py",
        "an error gives up before the pipeline is empty",
        "left.eq(output_latency(config))",
        "left.eq(0)",
        tuple(test for core in ("sparse", "sparse-rows") for test in malformed(core)),
    ),
    Mutant(
        "core.py",
        "each tile claims biases",
        "biases.claim.eq(source.last & source.tile_first)",
        "biases.claim.eq(source.last)",
        small("sparse"),
    ),
    # What a layer becomes for a core.
    Mutant(
        "config.py",
        "a weight operand without room for the largest level",
        "min(self.weight_bits + 1, 8)",
        "self.weight_bits",
        small("dense-2d"),
    ),
    Mutant(
        "config.py",
        "a tile's last words do not drain",
        "self.filters * -(-self.lanes // self.drain)",
        "self.filters * (self.lanes // self.drain)",
        small("sparse"),
    ),
    Mutant(
        "sram.py",
        "an address bit too few",
        "max(1, (words - 1).bit_length())",
        "max(1, (words - 1).bit_length() - 1)",
        small("sparse"),
    ),
    Mutant(
        "stripes.py",
        "stripes lack their last row",
        "(rows - 1) * geometry.stride[0] + _reach(geometry)",
        "(rows - 1) * geometry.stride[0] + _reach(geometry) - 1",
        (PACK,),
    ),
    Mutant(
        "layout.py",
        "planes overlap by a row",
        "(y.end - 1) * self.pitch + x.end for",
        "(y.end - 2) * self.pitch + x.end for",
        (LAYOUT,),
    ),
    Mutant(
        "layout.py",
        "groups begin a channel apart",
        "return g.in_channels // g.groups * planes * self.plane",
        "return planes * self.plane",
        (LAYOUT,),
    ),
    Mutant(
        "encode.py",
        "a filler bridges a byte too much",
        "np.divmod(delta, (1 << config.index_bits) - 1)",
        "np.divmod(delta, 1 << config.index_bits)",
        (PACK,),
    ),
    Mutant(
        "encode.py",
        "a filter's first place counts from the last one's end",
        "delta[first] = address[first]",
        "delta[first] = delta[first]",
        (PACK,),
    ),
    Mutant(
        "pack.py",
        "a pass that fills the weight buffer is refused",
        "int(cost.stored.max()) <= config.weight_depth",
        "int(cost.stored.max()) < config.weight_depth",
        small("sparse"),
    ),
    Mutant(
        "pack.py",
        "an accumulator a bit too narrow is accepted",
        "(-smallest - 1).bit_length() if smallest < 0",
        "(-smallest - 1).bit_length() - 1 if smallest < 0",
        (PACK,),
    ),
    Mutant(
        "fit.py",
        "memories are rounded down",
        "return -(-words // _STEP) * _STEP",
        "return words // _STEP * _STEP",
        ("tests/sim/test_cycles_cli.py",),
    ),
    Mutant(
        "verilog.py",
        "a damaged file of the cache is used",
        "if digest == _digest(text):",
        "if digest:",
        ("tests/rtl/test_verilog.py",),
    ),
    # The SoC top.
    Mutant(
        "soc/registerfile.py",
        "an event is lost in the cycle in which its bit is cleared",
        "held.eq(kept | news)",
        "held.eq((held | news) & ~cleared & ~self.start.replicate(len(held)))",
        REGISTERS,
    ),
    Mutant(
        "soc/registerfile.py",
        "a start while busy is accepted",
        "started & ~self.busy & ~self.reset",
        "started & ~self.reset",
        REGISTERS,
    ),
    Mutant(
        "soc/registerfile.py",
        "clearing one status bit clears its group",
        "write.replicate(len(held)) & written[low : low + len(held)]",
        "write.replicate(len(held)) & written[low : low + len(held)].any().replicate(len(held))",
        REGISTERS,
    ),
    Mutant(
        "soc/registerfile.py",
        "bytes without a strobe are written",
        "held.eq((held & ~mask) | written)",
        "held.eq(written)",
        REGISTERS,
    ),
    Mutant(
        "soc/packets.py",
        "a clear leaves packets of a layer owed",
        "m.d.sync += [owed.eq(0), self.open.eq(0)]",
        "m.d.sync += self.open.eq(0)",
        PACKETS,
    ),
    Mutant(
        "soc/packets.py",
        "a packet whose TLAST has come is owed all the same",
        "owed + (self.ends & self.open) - paid",
        "owed + self.ends - paid",
        PACKETS,
    ),
    Mutant(
        "soc/packets.py",
        "a reset in mid-map leaves the row count",
        "with m.If(self.reset):\n            m.d.sync += row.eq(0)",
        "with m.If(self.clear):\n            m.d.sync += row.eq(0)",
        PACKETS,
    ),
    Mutant(
        "soc/packets.py",
        "a clear while a map is owed is lost",
        "        with m.If(self.clear):\n            m.d.sync += owed.eq(0)\n",
        "",
        PACKETS,
    ),
    Mutant(
        "soc/packets.py",
        "a map as long as the memory is too long",
        "(row == self._rows - 1) & ~self.i_last",
        "row == self._rows - 1",
        PACKETS,
    ),
    Mutant(
        "soc/packets.py",
        "a map that a layer waits for is not owed after a reset",
        "self.reset & (row.any() | self.waiting)",
        "self.reset & row.any()",
        PACKETS,
    ),
    Mutant(
        "soc/axilite.py",
        "a second write acts before the first response is taken",
        "addressed & filled & (~self.s_axi_bvalid | self.s_axi_bready)",
        "addressed & filled",
        AXI_LITE,
    ),
    Mutant(
        "soc/axilite.py",
        "a read is accepted while an answer waits",
        "self.s_axi_arready.eq(~self.s_axi_rvalid)",
        "self.s_axi_arready.eq(1)",
        AXI_LITE,
    ),
    Mutant(
        "soc/axi.py",
        "a soft reset in mid-map does not reach the maps",
        "maps.reset.eq(registers.reset)",
        "maps.reset.eq(registers.reset & active)",
        TOP,
    ),
    Mutant(
        "soc/axi.py",
        "a clear does not reach the maps",
        "maps.clear.eq(registers.clear)",
        "maps.clear.eq(0)",
        TOP,
    ),
    Mutant(
        "soc/axi.py",
        "an output word is overwritten before it is taken",
        "free.eq(~self.m_axis_out_tvalid | self.m_axis_out_tready)",
        "free.eq(1)",
        TOP,
    ),
    Mutant(
        "soc/registers.py",
        "the stream errors begin at the core's bits",
        "CORE_ERRORS_AT, STREAM_ERRORS_AT = 8, 16",
        "CORE_ERRORS_AT, STREAM_ERRORS_AT = 8, 11",
        (f"{SOC}test_registers.py",),
    ),
)


def mutated(mutant: Mutant, text: str) -> str:
    """`text` of its file with the fault. Raises ValueError unless `old` is there exactly once."""
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"rtl/{mutant.file} holds {mutant.old!r} {text.count(mutant.old)} times, not once"
        )
    return text.replace(mutant.old, mutant.new)


def copy_tree(folder: Path) -> Path:
    """What the tests need of the project, below `folder`."""
    for name in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run_tests(tree: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    """pytest's answer; None when it took longer than LIMIT_S."""
    changes = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    changes |= {"COSIGN_CACHE": str(tree / "cache")}
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--basetemp={tree}/t"]
    options += ["--hypothesis-seed=0", "--hypothesis-profile=first failure"]
    try:
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=tree,
            env=os.environ | changes,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return None


def verdict(mutant: Mutant, tree: Path) -> tuple[str, str]:
    """("killed", by which test), ("survived", "") or ("broken", why): the tests did not run."""
    path = tree / "rtl" / mutant.file
    text = path.read_text()
    path.write_text(mutated(mutant, text))
    try:
        done = run_tests(tree, mutant.tests)
    finally:
        path.write_text(text)
    if done is None:
        return "killed", "a test that hangs"
    if done.returncode == 0:
        return "survived", ""
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if done.returncode != 1 or not failed:
        return "broken", (done.stdout + done.stderr)[-1500:]
    return "killed", failed[0]


def table(rows: Sequence[tuple[Mutant, str, str]], command: str, seconds: float) -> str:
    killed = sum(found == "killed" for _, found, _ in rows)
    equivalent = sum(found == "survived" and bool(m.equivalent) for m, found, _ in rows)
    lines = [
        "# Mutants of `rtl/`",
        "",
        f"`{command}`, {time.strftime('%-d %B %Y')}, Python {platform.python_version()}: "
        f"{len(rows)} mutants, {killed} killed, {equivalent} equivalent, "
        f"{len(rows) - killed - equivalent} alive; {seconds / 60:.0f} min.",
        "",
        "Each is one small change in a copy of the tree (`tests/mutants.py` has its text), run",
        "against the tests that should find it; the first that failed is named.",
        "",
        "| file | fault | found by |",
        "| --- | --- | --- |",
    ]
    for mutant, found, by in rows:
        told = f"`{by.removeprefix('tests/')}`" if found == "killed" else f"**{found}**"
        if found == "survived" and mutant.equivalent:
            told = f"equivalent: {mutant.equivalent}"
        lines.append(f"| `{mutant.file}` | {mutant.what} | {told} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="files or faults with this text")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if options.only in f"{m.file} {m.what}"]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cosign-mutants-") as name:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(options.jobs):
            trees.put(copy_tree(Path(name) / str(number)))
        tree = trees.get()
        done = run_tests(tree, list(dict.fromkeys(test for m in chosen for test in m.tests)))
        if done is None or done.returncode:
            print(done.stdout[-3000:] if done else "hangs", file=sys.stderr)
            print("the tests fail, or hang, without a mutant.", file=sys.stderr)
            return 2
        trees.put(tree)

        def judge(mutant: Mutant) -> tuple[Mutant, str, str]:
            tree = trees.get()
            try:
                found, by = verdict(mutant, tree)
            finally:
                trees.put(tree)
            print(f"{found:8} {mutant.file}: {mutant.what} {by}", flush=True)
            return mutant, found, by

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            rows = list(pool.map(judge, chosen))
    if options.out:
        command = " ".join(["python tests/mutants.py", *sys.argv[1:]])
        options.out.write_text(table(rows, command, time.monotonic() - begun))
    alive = [m for m, found, _ in rows if found != "killed" and not m.equivalent]
    found_anyway = [m for m, found, _ in rows if found == "killed" and m.equivalent]
    for mutant in found_anyway:
        print(f"{mutant.file}: {mutant.what} is not equivalent", file=sys.stderr)
    return int(bool(alive or found_anyway))


if __name__ == "__main__":
    sys.exit(main())
