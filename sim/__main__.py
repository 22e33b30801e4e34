"""python -m sim: what the machine does.

run executes a network's convolutional and fully connected layers on the RTL, host operations in
between, and compares every value with the golden model and every cycle count with the cycle model;
cycles counts without simulating, on four cores of equal size or those of a file; coverage sums up
what simulations with COSIGN_COVERAGE reached.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compress.file import container
from compress.file.container import CompressedModel, Layer
from compress.zoo.networks import NETWORKS, densities
from cosign import CosignError, exit_status, write_json
from rtl.config import CODINGS, CoreConfig
from rtl.coreset import base
from rtl.options import add_cores, add_options, config_of, cores_of, given_fields
from rtl.program.fit import feed, fit
from sim import tables
from sim.build import provenance
from sim.compare import compare, random_layers, rivals
from sim.coverage import collect
from sim.verify import Execution, LayerVerification, input_ranges, verify

_FITTED = ("weight_depth", "act_depth", "mask_depth", "tap_depth", "acc_bits")
_ACT_BYTES = 1 << 18
_SHAPE = ("lanes", "drain", "tiles", "coding", "index_bits", "mask_bits")

_EPILOG = """\
--weight-depth, --act-depth, --mask-depth, --tap-depth and --acc-bits are what the network needs
where they are not given.

exit status: 0 all values and cycles agree; 1 some do not; 2 bad input or a missing tool, told in
one sentence; 130 interrupted (the same command with the same --out goes on)
"""


def _counted(low: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{text} is below {low}")
        return value

    return number


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m sim", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    _run_options(
        commands.add_parser(
            "run",
            help="execute a network on the RTL",
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _cycles_options(commands.add_parser("cycles", help="count cycles on several cores"))
    reached = commands.add_parser("coverage", help="line and toggle coverage of simulations")
    reached.add_argument("folder", type=Path, help="what COSIGN_COVERAGE was")
    reached.add_argument("--least", type=float, default=0.0, help="%% of lines, else exit status 1")
    reached.add_argument("--json", type=Path, metavar="FILE", help="write the results here, too")
    return top


def _shared_options(command: argparse.ArgumentParser, batch: str) -> None:
    command.add_argument("--seed", type=_counted(0), default=0, help="of everything random (0)")
    command.add_argument("--batch", type=_counted(1), help=f"images of a linear layer ({batch})")
    command.add_argument(
        "--act-bytes",
        type=_counted(1),
        default=_ACT_BYTES,
        help=f"activation memory of a tile above which maps are cut in stripes ({_ACT_BYTES})",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the results here, too")


def _run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, help="a model.cosign file")
    command.add_argument("--images", type=_counted(1), help="how many (1, or all of --input)")
    command.add_argument(
        "--input",
        type=Path,
        metavar="FILE.npy",
        help="images [N, C, H, W]: uint8 pixels, or int8 as the machine reads them (default: "
        "random pixels)",
    )
    command.add_argument("--layers", metavar="A,B", help="only these on the RTL")
    command.add_argument("--out", type=Path, metavar="DIR", help="keeps finished layers")
    command.add_argument("--waves", type=Path, metavar="FILE.fst", help="wave of the one --layers")
    command.add_argument("--stall-seed", type=_counted(0), help="all streams stall at random")
    command.add_argument("--jobs", type=_counted(1), default=1, help="simulators at a time (1)")
    _shared_options(command, "all of them")
    add_options(command)


def _cycles_options(command: argparse.ArgumentParser) -> None:
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--network", choices=NETWORKS, help="a built-in network under random masks")
    what.add_argument("--model", type=Path, help="a model.cosign file")
    command.add_argument(
        "--alpha", metavar="PRESET|FILE", help="densities of --network: a preset or a JSON file"
    )
    default = CoreConfig()
    command.add_argument("--lanes", type=int, help="multipliers of a tile (64)")
    command.add_argument("--drain", type=int, help=f"requantisers ({base('sparse').drain})")
    command.add_argument("--tiles", type=int, help=f"lockstep tiles ({default.tiles})")
    command.add_argument("--coding", choices=CODINGS, help=f"({default.coding})")
    command.add_argument("--index-bits", type=int, help=f"({default.index_bits})")
    command.add_argument("--mask-bits", type=int, help=f"({default.mask_bits})")
    add_cores(command, "four of --lanes multipliers")
    _shared_options(command, "1")


def run(options: argparse.Namespace) -> int:
    """`python -m sim run`; returns the exit status."""
    model = container.load(options.model)
    images, source = _images(model, options)
    names = [layer.name for layer in model.layers]
    if options.layers is not None:
        names = [name for name in options.layers.split(",") if name]
    if not names:
        raise CosignError("--layers names no layer; give names with commas between them.")
    if options.waves and len(names) != 1:
        raise CosignError("a wave shows one layer; name it with --layers.")
    config = _fitted(model, options, len(images))
    print(f"{model.name}: {source}; core {config.core} {config.hash}", file=sys.stderr)
    done: list[str] = []

    def show(layer: LayerVerification) -> None:
        done.append(layer.name)
        verdict = "agrees" if layer.agrees else "DIFFERS"
        print(
            f"[{len(done)}/{len(names)}] {layer.name}: {layer.values_compared:,} values, "
            f"{layer.cycles:,} cycles, {layer.wall_s:.1f} s, {verdict}",
            file=sys.stderr,
            flush=True,
        )

    found = verify(
        model,
        images,
        config,
        options.out,
        names,
        show,
        execution=Execution(options.batch, options.stall_seed, options.waves, options.jobs),
    )
    if options.json:
        write_json(
            options.json,
            {
                "network": model.name,
                "input": source,
                **found.to_json(),
                "agrees": found.agrees,
                "stall_seed": options.stall_seed,
                "config": config.to_json(),
                "provenance": provenance(),
            },
        )
    print(tables.verification_table(found))
    return 0 if found.agrees else 1


def _images(model: CompressedModel, options: argparse.Namespace) -> tuple[np.ndarray, str]:
    """(int8 [N, C, H, W], what they are). Raises CosignError when they do not fit the model."""
    shape, file = model.input.shape, options.input
    if file is None:
        count = options.images or 1
        rng = np.random.default_rng(options.seed)
        pixels = rng.integers(0, 256, (count, *shape), np.uint8)
        return model.input.quantize(pixels), f"{count} x random pixels (seed {options.seed})"
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise CosignError(f"cannot read {file}: {error.strerror or error}.") from error
    except (ValueError, EOFError) as error:
        raise CosignError(f"{file} is not a NumPy array ({error}); write it again.") from error
    if not isinstance(array, np.ndarray) or array.dtype not in (np.uint8, np.int8):
        raise CosignError(f"{file} must hold uint8 pixels or int8 activations [N, C, H, W].")
    if array.shape[1:] != shape or not len(array):
        raise CosignError(
            f"{file} holds an array of {array.shape}, {model.name} reads images [N, "
            f"{', '.join(map(str, shape))}]."
        )
    count = options.images or len(array)
    if count > len(array):
        raise CosignError(f"{file} holds {len(array)} images, --images asks for {count}.")
    chosen = np.ascontiguousarray(array[:count])
    images = model.input.quantize(chosen) if chosen.dtype == np.uint8 else chosen
    return images, f"the first {count} of {len(array)} images of {file.name}"


def _fitted(model: CompressedModel, options: argparse.Namespace, images: int) -> CoreConfig:
    """The core that the options describe, with memories for all layers of `model`."""
    given = {name: value for name, value in given_fields(options).items() if name in _FITTED}
    config = config_of(options)
    limit = config.act_bytes if "act_depth" in given else options.act_bytes
    batch = min(options.batch or images, images)
    config = fit(config, model.layers, batch, limit, input_ranges(model))
    return dataclasses.replace(config, **given)


def cycles(options: argparse.Namespace) -> int:
    """`python -m sim cycles`; returns the exit status."""
    origin: dict[str, Any]
    if options.model:
        if options.alpha is not None:
            raise CosignError("--alpha belongs to --network; a model has its own weights.")
        model = container.load(options.model)
        name, layers = model.name, list(model.layers)
        origin = {"model": str(options.model)}
    elif options.alpha is None:
        raise CosignError("--network needs its densities; give --alpha PRESET or a JSON file.")
    else:
        name = options.network
        chosen = densities(name, options.alpha)
        layers = random_layers(name, chosen, options.seed)
        origin = {"alpha": options.alpha, "densities": chosen, "seed": options.seed}
    report = {
        "network": name,
        **origin,
        **_compared(layers, options),
        "provenance": {"numpy": np.__version__},
    }
    if options.json:
        write_json(options.json, report)
    shapes = ", ".join(f"{core} {shape}" for core, shape in report["shapes"].items())
    print(f"{name}: pixels x filters {shapes}")
    print(tables.cycles_table(report))
    return 0


def _compared(layers: Sequence[Layer], options: argparse.Namespace) -> dict[str, Any]:
    """The cycles of the cores that are asked for, of a file or as large as the options say."""
    values = {name: getattr(options, name) for name in _SHAPE}
    given = {name: value for name, value in values.items() if value is not None}
    batch = options.batch or 1
    if options.cores is None:
        sparse = feed(base("sparse"), **{"lanes": 64, **given})
        return compare(layers, rivals(sparse), batch, options.act_bytes)
    if given:
        name = next(iter(given)).replace("_", "-")
        raise CosignError(f"--cores says all of the cores; leave out --{name}.")
    cores = cores_of(options)
    by_name = {core.name: core for core in cores.cores}
    pair = cores.dense_scalar.name, cores.sparse.name
    return compare(layers, by_name, batch, options.act_bytes, *pair)


def coverage(options: argparse.Namespace) -> int:
    """`python -m sim coverage`; returns the exit status."""
    found = collect(options.folder)
    if options.json:
        write_json(options.json, {"cores": [dataclasses.asdict(each) for each in found]})
    print(tables.coverage_table(found))
    return int(any(100 * each.lines_hit < options.least * each.lines for each in found))


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    options = parser().parse_args(arguments)
    commands = {"run": run, "cycles": cycles, "coverage": coverage}
    return exit_status(lambda: commands[options.command](options))


if __name__ == "__main__":
    sys.exit(main())
