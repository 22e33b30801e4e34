"""Execute a network on the RTL and compare every value and cycle count.

Convolutional and fully connected layers run on the core, host operations in between. Values are
compared with the golden model, cycle counts with the cycle model.
"""

import argparse
import dataclasses
import sys
from math import prod

import numpy as np

from compress.file import container
from compress.model.graph import CompressedModel
from cosign import CosignError
from cosign.kinds import MOST_IMAGES, MOST_PROCESSES, names, positive, seed
from cosign.options import check_names, publish
from cosign.paths import new_file, new_folder, old_file
from rtl import options as core_options
from rtl.config import CoreConfig
from rtl.program.fit import fit
from sim import tables
from sim.build import provenance
from sim.commands.shared import add_shared_options
from sim.images import read_images
from sim.verify import Execution, LayerVerification, input_ranges, verify

_MOST_PIXELS = 1 << 31
"""Random ones, which lie in memory with all that is computed of them."""
_FITTED = ("weight_depth", "act_depth", "mask_depth", "tap_depth", "acc_bits")
_EPILOG = """\
--weight-depth, --act-depth, --mask-depth, --tap-depth, --acc-bits and --act-bits are what the
network needs where they are not given.

exit status: 0 all values and cycles agree; 1 some do not; 2 bad input or a missing tool, told in
one sentence; 130 interrupted (the same command with the same --out goes on)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("model", type=old_file, help="a model.cosign file")
    parser.add_argument(
        "--images", type=positive(int, MOST_IMAGES), help="how many (1, or all of --input)"
    )
    parser.add_argument(
        "--input",
        type=old_file,
        metavar="FILE.npy",
        help="images [N, C, H, W]: uint8 pixels, or int8 as the machine reads them (default: "
        "random pixels)",
    )
    parser.add_argument("--layers", type=names, metavar="A,B", help="only these on the RTL")
    parser.add_argument("--out", type=new_folder, metavar="DIR", help="keeps finished layers")
    parser.add_argument(
        "--waves", type=new_file, metavar="FILE.fst", help="wave of the one --layers"
    )
    parser.add_argument("--stall-seed", type=seed, help="all streams stall at random")
    parser.add_argument(
        "--jobs", type=positive(int, MOST_PROCESSES), default=1, help="simulators at a time (1)"
    )
    add_shared_options(parser, "all of them")
    core_options.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Execute, and show what agreed; raises CosignError on bad input."""
    model = container.load(options.model)
    images, source = _images(model, options)
    wanted = options.layers or [layer.name for layer in model.layers]
    if not wanted:
        raise CosignError(f"{model.name} has no layer that a core executes; give another model.")
    if options.waves and len(wanted) != 1:
        raise CosignError("a wave shows one layer; name it with --layers.")
    check_names("--layers", wanted, [layer.name for layer in model.layers])
    config = fitted(model, options, len(images))
    print(f"{model.name}: {source}; core {config.core} {config.hash}", file=sys.stderr)
    done: list[str] = []

    def show(layer: LayerVerification) -> None:
        done.append(layer.name)
        verdict = "agrees" if layer.agrees else "DIFFERS"
        print(
            f"[{len(done)}/{len(wanted)}] {layer.name}: {layer.values_compared:,} values, "
            f"{layer.cycles:,} cycles, {layer.wall_s:.1f} s, {verdict}",
            file=sys.stderr,
            flush=True,
        )

    found = verify(
        model,
        images,
        config,
        options.out,
        wanted,
        show,
        execution=Execution(
            batch=options.batch,
            stall_seed=options.stall_seed,
            waves=options.waves,
            processes=options.jobs,
            bytes_per_cycle=options.bytes_per_cycle,
        ),
    )
    content = {
        "network": model.name,
        "input": source,
        **found.to_json(),
        "agrees": found.agrees,
        "stall_seed": options.stall_seed,
        "bytes_per_cycle": options.bytes_per_cycle,
        "config": config.to_json(),
        "provenance": provenance(),
    }
    publish(content, options.json, tables.verification_table(found))
    return 0 if found.agrees else 1


def _images(model: CompressedModel, options: argparse.Namespace) -> tuple[np.ndarray, str]:
    """(int8 [N, C, H, W], what they are). Raises CosignError when they do not fit the model."""
    shape, file = model.input.shape, options.input
    if file is None:
        count = options.images or 1
        if count * prod(shape) > _MOST_PIXELS:
            raise CosignError(
                f"--images asks for {count:,} images of {prod(shape):,} numbers, which are more "
                f"than {_MOST_PIXELS:,}; ask for fewer."
            )
        rng = np.random.default_rng(options.seed)
        pixels = rng.integers(0, 256, (count, *shape), np.uint8)
        return model.input.quantize(pixels), f"{count} x random pixels (seed {options.seed})"
    return read_images(model, file, options.images)


def fitted(model: CompressedModel, options: argparse.Namespace, images: int) -> CoreConfig:
    """The core that the options describe, with memories for all layers of `model`.

    Raises CosignError.
    """
    fields = core_options.given_fields(options)
    given = {name: value for name, value in fields.items() if name in _FITTED}
    config = core_options.config_of(options)
    bits = fields.get("act_bits", model.act_bits)
    if bits != model.act_bits:
        raise CosignError(
            f"--act-bits is {bits}, the activations of {model.name} have {model.act_bits} bits; "
            f"leave it out, or export the network with --act-bits {bits}."
        )
    config = config.for_activations(bits)
    limit = config.act_bytes if "act_depth" in given else options.act_bytes
    batch = min(options.batch or images, images)
    config = fit(config, model.layers, batch, limit, input_ranges(model))
    return dataclasses.replace(config, **given)
