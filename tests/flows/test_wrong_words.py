"""Wrong command lines: each ends in one sentence and status 2 before any work; nothing is written.

LINES have what a command needs beside; WRONG a wrong value of each option by its name, and
OTHERWISE of those that mean something else in some command. The parsers are asked for their
options, so that a new one without a row fails. TOGETHER are options that are wrong beside each
other.
"""

import argparse
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
from command_tree import Words, commands
from random_layers import random_layer

from compress.file import container
from compress.model.graph import CompressedModel, Geometry, InputSpec
from compress.model.hostops import HostOp
from flows.__main__ import main
from flows.loop.rundir import RunConfig, RunDir
from rtl.config import CoreConfig

ROOT = Path(__file__).parents[2]

LINES = {
    "run": "lenet5",
    "compare": "results.json model.cosign",
    "train": "lenet5",
    "evaluate": "model.cosign",
    "breakeven": "--network lenet5 --layers conv1",
    "frontier": "--layers conv1",
    "sweep": "--out new --network lenet5 --layers conv1 --portion 0.5",
    "energy": "big.cosign",
    "baselines": "lenet5 --out new",
    "posttrain": "cifar10 --network net.onnx --out new",
    "record": "--out new",
    "compress inspect": "model.cosign",
    "compress export": "--network lenet5 --ratio 4 --out new",
    "compress repack": "model.cosign --out new",
    "compress convert": "model.cosign --to qdq --out new",
    "compress images": "--network lenet5 --data mnist --count 1 --out new",
    "rtl generate": "--out new",
    "sim run": "model.cosign",
    "sim cycles": "--network lenet5 --alpha default",
    "sim coverage": "folder",
    "synth report": "--out new",
    "synth prices": "--out new",
    "synth pdk": "",
    "synth fpga": "--out new",
}

NO_FILE = "cannot read no/such: No such file or directory; give another"
IN_PROC = "cannot write /proc/x: No such file or directory; choose another folder"
NO_FLAG = "ignored explicit argument 'yes'"
NO_CHOICE = "invalid choice: 'none'"

WRONG = """
--accuracy-loss   nan               nan is not between 0 and 1
--acc-bits        41                acc_bits is 41, must be 12..40
--act-banks       3                 act_banks is 3, must be a power of two
--act-bits        9                 9 is not 4 to 8
--act-buffers     3                 act_buffers is 3, must be 1..2
--act-bytes       0                 0 is not positive
--act-depth       9999999999999     act_depth is 9999999999999, must be
--alpha           ''                '' is nothing; give a value or leave the option out
--area            2                 2 is an area without a unit; write 2mm2
--areas           64,,2mm2          '' is no area; write multipliers, 64, or an area
--aspect          nan               nan is not between 0.1 and 10.0
--beats           9                 beats is 9, must be 1..8
--bank-bytes      18446744073709551616   must be a power of two, 4096 at most
--batch           0                 0 is not positive
--bits            9                 9 is n
--budget          inf               inf is not positive
--bytes-per-cycle 0.3               0.3 is no positive multiple of 0.125
--calibration     0                 0 is not positive
--cells           /proc/x           {in_proc}
--classes         ''                '' is nothing
--clock-gating    yes               {no_flag}
--clock-ns        1e-300            clock_ns is 1e-300, must be positive, 0.001 at least
--coding          none              {no_choice}
--config          no/such           {no_file}
--core            none              {no_choice}
--cores           no/such           {no_file}
--count           0                 0 is not positive
--cycles          0                 0 is not positive
--data            no/such           no/such
--distill         1.5               1.5 is not between 0 and 1
--drain           0                 drain is 0, must be 1..64
--dram-pj-per-bit inf               inf is not positive
--filters         65                filters is 65, must be 1..64
--finetune        1e300             1e300 is more than 10,000.0
--first           0                 0 is not positive
--fmax            yes               {no_flag}
--from            synth             --from needs --resume DIR
--gate-zeros      2                 gate_zeros is 2, must be 0..1
--html            /proc/x           {in_proc}
--images          9999999999999     9999999999999 is more than 1,000,000
--in-order        yes               {no_flag}
--index-bits      25                index_bits is 25, must be 1..24
--input           no/such           {no_file}
--jobs            99999             99999 is more than 1,024
--json            folder            cannot write folder: it is a folder; give the name of a file
--kinds           none              {no_choice}
--lanes           300               lanes is 300, must be 1..256
--layers          a,,b              a,,b has a name that is empty
--least           nan               nan is not between 0 and 100
--liberty         no/such           {no_file}
--like            none              none
--listed          2                 listed is 2, must be 0..1
--log             none              {no_choice}
--lef             no/such           {no_file}
--loss            101               101 is not between 0 and 100 points
--mask-bits       1                 mask_bits is 1, must be 2..64
--mask-depth      300000            mask_depth is 300000, must be 2..262144
--mean            123.7             divide what is of 0 to 255 by 255
--measure         yes               {no_flag}
--method          none              {no_choice}
--methods         none              there is no 'none'; choose from
--mhz             nan               nan is not between 1.0 and 1,000.0
--model           no/such           {no_file}
--mul-bits        7                 mul_bits is 7, must be 8..16
--network         lenet6            lenet6
--nm-group        6                 nm_group is 6, must be a power of two
--nm-keep         0                 nm_keep is 0, must be 1..4
--out             results.json      cannot write results.json: it is a
--output          ''                '' is nothing
--pad-tdata       yes               {no_flag}
--part            none              {no_choice}
--pattern         5:4               a pattern of 5:4 is none
--patterns        5:4               a pattern of 5:4 is none
--pipeline        3                 pipeline is 3, must be 0..2
--place           yes               {no_flag}
--plot            /proc/x           {in_proc}
--prices          no/such           {no_file}
--quiet           yes               {no_flag}
--rate            -1                -1 is not positive
--ratio           1e308             1e308 is no pruning ratio; it must be at most 1,000,000x
--ratios          0.9x              0.9x is no pruning ratio; it must be at least 1x
--rest-sums       2                 rest_sums is 2, must be 0..1
--resume          no/such           {no_file}
--rounds          -1                -1 is negative
--run-bits        5                 run_bits is 5, must be 0..4
--schedules       none              there is no 'none'; choose from
--seed            18446744073709551616   18446744073709551616 is no seed; the largest is 2**63 - 1
--seeds           -1                -1 is n
--size            2XB               2XB is no size; write 2MB, 300KB or 5000B
--speed           5                 invalid choice: 5
--speedup         0.5x              0.5x is no speedup; it must be at least 1x
--spec            no/such           {no_file}
--sram            none              {no_choice}
--stall-seed      -1                -1 is negative
--step-bits       6                 step_bits is 6, must be 1..5
--streams         9                 streams is 9, must be 1..8
--std             0                 0 is not positive
--tap-depth       1                 tap_depth is 1, must be 2..4096
--targets         13                targets is 13, must be 1 to 12
--threads         0                 0 is not positive
--tiles           17                tiles is 17, must be 1..16
--to              none              {no_choice}
--utilisation     1                 1 is not between 0.05 and 0.9
--waves           /proc/x           {in_proc}
--weight-bits     9                 weight_bits is 9, must be 1..8
--weight-depth    -1                weight_depth is -1, must be 2..4194304
--weights         no/such           no/such
--window-reads    9                 window_reads is 9, must be 1..8
--window-span     65                window_span is 65, must be 1..64
--windows         2                 windows is 2, must be 0..1
--workers         -1                -1 is not
folder            no/such           {no_file}
images            no/such           no/such
model             no/such           {no_file}
network           lenet6            lenet6
runs              no/such           {no_file}
files             no/such           {no_file}
"""
OTHERWISE = """
sweep --batch      0        the sweep: batch is 0, must be int >= 1
sweep --core       none     core 'none' is not one of sparse,
sweep --coding     none     coding 'none' is not one of relative,
sweep --layers     conv9    lenet5 has no layer 'conv9'; it has conv1
sweep --optuna     -1       the sweep: optuna is -1, must be int >= 0
sweep --optuna     1e9      optuna must be a whole number, not '1e9'
sweep --portion    1        the sweep: portion[0] is 1.0, must be float < 1.0
sweep --portion    nan      portion must be a number, not 'nan'
sweep --seed       99999999999999999999   the sweep's seed is 99,999,
sweep --scheduler  ''       '' is nothing
sweep --energy     yes      ignored explicit argument 'yes'
sweep --lanes      8..1     lanes '8..1' is an empty range
sweep --clock-ns   inf      clock_ns must be a number, not 'inf'
sweep --tiles         x        tiles must be a whole number, not 'x'
sweep --filters       x        filters must be a whole number, not 'x'
sweep --weight-bits   x        weight_bits must be a whole number, not 'x'
sweep --index-bits    x        index_bits must be a whole number, not 'x'
sweep --mask-bits     x        mask_bits must be a whole number, not 'x'
sweep --window-reads  x        window_reads must be a whole number, not 'x'
sweep --window-span   x        window_span must be a whole number, not 'x'
sim-run --act-bits    9        act_bits is 9, must be 4..8
synth-report --act-bits 9      act_bits is 9, must be 4..8
synth-fpga --act-bits 9        act_bits is 9, must be 4..8
rtl-generate --act-bits 9      act_bits is 9, must be 4..8
sweep --acc-bits      x        acc_bits must be a whole number, not 'x'
sweep --bank-bytes    x        bank_bytes must be a whole number, not 'x'
sweep --act-buffers   x        act_buffers must be a whole number, not 'x'
sweep --drain         x        drain must be a whole number, not 'x'
sweep --mul-bits      x        mul_bits must be a whole number, not 'x'
sweep --pipeline      x        pipeline must be a whole number, not 'x'
sweep --streams      x        streams must be a whole number, not 'x'
sweep --beats        x        beats must be a whole number, not 'x'
sweep --step-bits    x        step_bits must be a whole number, not 'x'
sweep --nm-keep       x        nm_keep must be a whole number, not 'x'
sweep --nm-group      x        nm_group must be a whole number, not 'x'
sweep --gate-zeros    x        gate_zeros must be a whole number, not 'x'
sweep --rest-sums     x        rest_sums must be a whole number, not 'x'
sweep --listed        x        listed must be a whole number, not 'x'
sweep --run-bits      x        run_bits must be a whole number, not 'x'
sweep --windows       x        windows must be a whole number, not 'x'
energy --layers    conv9    big has no convolution 'conv9'; it has conv
frontier --weights none     invalid choice: 'none'
compress-export --out folder cannot write folder: it is a folder; give the name of a file
compress-repack --out folder cannot write folder: it is a folder; give the name of a file
compress-convert --out folder cannot write folder: it is a folder; give the name of a file
compress-images --out folder cannot write folder: it is a folder; give the name of a file
synth-prices --out folder cannot write folder: it is a folder; give the name of a file
compress-export --images no/such {no_file}
sim-cycles --model model.cosign not allowed with argument
synth-fpga --seed  -1       -1 is negative
compress-export --pattern  5:4   not allowed with argument --ratio
posttrain --weights  no/such     net.onnx has its own weights
"""

TOGETHER = """
run --resume run --seed 0   a run keeps the seed that it began with
run --resume run --act-bits 6   a run keeps the act-bits that it began with
run --resume run --budget 1   a run keeps the budget that it began with
run --resume run --liberty model.cosign   a run keeps the liberty that it began with
run --resume run --alpha 20x   a run keeps the alpha that it began with
run --resume run --output y   a run keeps the output that it began with
run --resume run --images 3   a run keeps the images that it began with
run --resume run --cores results.json   a run keeps the cores that it began with
run --resume run --area 2mm2   a run keeps the area that it began with
run --resume run --accuracy-loss 0.005   a run keeps the accuracy-loss that it began with
run alexnet --resume run   run is a run of lenet5, not of alexnet
run --resume run --from none   --from none is no stage; choose one of: dense,
run --resume folder   folder is not a run directory: it has no config.json
run --resume run --out new   not allowed with argument
run lenet5 --out folder/full   folder/full is not empty; choose another --out
run lenet5 --out run   run is not empty; continue it with --resume run
run lenet5 --log mlflow --out new   --log mlflow needs a package that is not installed
run lenet5 --images 20000 --out new   --images asks for 20,000 images, and the test split of mnist
run lenet5 --alpha 1e6x --out new   lenet5 cannot be pruned 1e+06 times: it has 430,500 weights
run lenet5 --alpha 1e9 --out new   lenet5 has no alpha preset '1e9'
run lenet5 --data cifar10 --out new   lenet5 reads mnist, not 'cifar10'
run lenet5 --act-bits 6 --area 2mm2 --out new   --area searches a price list of cores with
run lenet5 --ratio 2x --alpha 2x   --ratio and --alpha both say
run lenet5 --speedup 2x --out new   --speedup is for --method oneshot
run lenet5 --method oneshot --budget 1   --budget is of training, --method oneshot has none
run lenet5 --method oneshot --out new   --method oneshot begins with trained weights
run lenet5 --mean 0 --std 1   --mean and --std are for a network of your own
run lenet5 --weights results.json   results.json
run lenet5 --json new --out new   --json and --out both write
compare model.cosign model.cosign   compare needs two different runs
compare results.json model.cosign   model.cosign is not valid JSON
frontier --network lenet5 --model model.cosign   --network and --model contradict each other
frontier --act-bits 6   the price list is of cores with activations of 8 bits, the network's have 6
frontier --model big.cosign --act-bits 6   big.cosign has activations of 8 bits; leave --act-bits
frontier --liberty model.cosign   --liberty is for the cores that --measure synthesises
frontier --json new --plot new   --plot and --json both write
breakeven --network lenet5 --layers conv9   lenet5 has no layer 'conv9'
breakeven --ratios 2000   2000 is no pruning ratio; give 1 to 1000
energy folder   folder is not a run directory: it has no config.json
energy model.cosign   small has no convolution; energy is measured of those
energy big.cosign   a model.cosign comes without images; give one by --input
energy big.cosign --input images.npz   must hold uint8 pixels or int8 activations
energy big.cosign --cores cores.toml --like sparse rows   no core 'rows'; there are dense,
energy big.cosign --utilisation 0.5   --utilisation is of a placement; add --place
sweep --out new --spec model.cosign --lanes 8   --spec says all of the sweep; leave out --lanes
sweep --out new --spec model.cosign   model.cosign is not valid TOML
sweep --out new   new
sweep --out new --network lenet5 --layers conv1 --lanes 8   the sweep names no recipe
compress export --network lenet5 --out new   export needs --alpha, --ratio, --pattern or
compress export --network lenet5 --ratio 430501 --out new   lenet5 cannot be pruned 430501 times
compress export --network lenet5 --ratio 4 --finetune 1 --out new   --finetune is for --method
sim run model.cosign --input images.npz   must hold uint8 pixels or int8 activations
sim run model.cosign --act-bits 6   have 8 bits; leave it out, or export the network with
sim run model.cosign --input model.cosign   is not a NumPy array
sim run model.cosign --waves new --layers fc,fc1   a wave shows one layer
sim run big.cosign --images 1000000   --images asks for 1,000,000 images of 150,528 numbers
sim run model.cosign --layers conv9   --layers: there is no 'conv9'; choose from fc
sim cycles --network lenet5   --network needs its densities
sim cycles --model model.cosign --alpha default   --alpha belongs to --network
sim cycles --network lenet5 --alpha default --cores cores.toml --lanes 4   leave out --lanes
sim coverage folder/full   not a line of Verilator's coverage
synth report --core dense-2d --drain 5 --filters 8 --out new   drain is 5, must divide
synth report --utilisation 0.5 --out new   --utilisation is of a placement; add --place
synth fpga --mhz 0 --out new   0 is not between 1.0 and 1,000.0
rtl generate --config deep.json --out new   deep.json is not valid JSON
rtl generate --config null.json --out new   null.json: lanes is None, must be int
rtl generate --cores deep.toml --out new   deep.toml is not valid TOML
"""


def rows(text: str, columns: int) -> Iterator[list[str]]:
    """Lines of a table: columns without spaces, and the rest."""
    for line in text.strip().splitlines():
        yield line.split(maxsplit=columns)


def cases() -> Iterator[tuple[Words, str, list[str], str]]:
    """(command, option, words, sentence) of WRONG and OTHERWISE, for all options that there are."""
    told = {"no_file": NO_FILE, "in_proc": IN_PROC, "no_flag": NO_FLAG, "no_choice": NO_CHOICE}
    wrong = {name: (value, why.format(**told)) for name, value, why in rows(WRONG, 2)}
    otherwise: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for command, name, value, why in rows(OTHERWISE, 3):
        otherwise.setdefault((command.replace("-", " "), name), []).append(
            (value, why.format(**told))
        )
    for words, module, _ in commands():
        parser = argparse.ArgumentParser(add_help=False)
        importlib.import_module(module).add_options(parser)
        for action in parser._actions:
            name = action.option_strings[0] if action.option_strings else action.dest
            command = " ".join(words)
            for value, why in otherwise.pop((command, name), [wrong.get(name, ("", ""))]):
                line = shlex.split(LINES[command])
                value = shlex.split(value)[0] if value else value
                if not action.option_strings:
                    line[:1] = [value]
                elif name in line:
                    at = line.index(name)
                    line[at : at + 2] = [f"{name}={value}"]
                else:
                    line.append(f"{name}={value}")
                yield words, name, line, why
    assert not otherwise, f"no such options: {list(otherwise)}"


CASES = list(cases())


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what LINES and TOGETHER name."""
    here = tmp_path_factory.mktemp("wrong")
    fc = random_layer(Geometry("linear", 784, 10), 0.02, input="flatten", name="fc")
    spec = InputSpec((1, 28, 28), 0.02, (0.13,), (0.31,))
    flatten = HostOp("flatten", "flatten", ("input",))
    model = here / "model.cosign"
    container.save(CompressedModel("small", spec, (flatten, fc)), model)
    conv = random_layer(Geometry("conv", 3, 1, 224, 224, (1, 1)), 0.5, name="conv")
    large = InputSpec((3, 224, 224), 0.02, (0.5,) * 3, (0.3,) * 3)
    container.save(CompressedModel("big", large, (conv,)), here / "big.cosign")
    run = RunDir.create(here / "run", RunConfig("lenet5"))
    (run.path / "model.cosign").write_bytes(model.read_bytes())
    (here / "results.json").write_bytes(
        (ROOT / "docs" / "results" / "lenet5" / "results.json").read_bytes()
    )
    full = here / "folder" / "full"
    full.mkdir(parents=True)
    (full / "a-b-c.dat").write_text("nothing\n")
    np.savez(here / "images.npz", np.zeros((1, 1, 28, 28), np.uint8))
    (here / "deep.json").write_text("[" * 100_000)
    (here / "deep.toml").write_text("a = " + "[" * 100_000)
    (here / "null.json").write_text(json.dumps(CoreConfig().to_json() | {"lanes": None}))
    (here / "cores.toml").write_text("schema = 1\n")
    graph = onnx_models.Graph()
    y = graph.node("GlobalAveragePool", graph.conv("x", 3, 10, "c"), name="mean")
    graph.node("Flatten", y, name="flat")
    onnx.save(graph.model(), here / "net.onnx")
    return here


def refused(
    line: list[str],
    sentence: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(here)
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    status = main(line)
    said = capfd.readouterr()
    assert (status, said.out) == (2, "")
    assert said.err.startswith("cosign: ")
    assert said.err.count("\n") == 1, said.err
    assert sentence in said.err
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before


def test_every_option_of_every_command_has_a_row() -> None:
    assert not [(" ".join(words), option) for words, option, _, why in CASES if not why]
    assert LINES.keys() == {" ".join(words) for words, _, _ in commands()}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        pytest.param([*words, *line], why, id=f"{' '.join(words)} {option}")
        for words, option, line, why in CASES
    ],
)
def test_a_wrong_value(
    line: list[str],
    sentence: str,
    furnished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    refused(line, sentence, furnished, monkeypatch, capfd)


@pytest.mark.parametrize("row", TOGETHER.strip().splitlines())
def test_wrong_beside_each_other(
    row: str,
    furnished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    line, sentence = re.split(r"\s{2,}", row)
    refused(shlex.split(line), sentence, furnished, monkeypatch, capfd)
