"""python -m compress: what to do with compressed files.

inspect shows the purpose of every byte of a file; export makes one of a network at once, without
training; repack writes a file again, smaller or in another coding; convert writes one as ONNX or
safetensors; images writes test images for `python -m sim run`.

Commands that need more than this room knows (evaluate needs the integer model) are entry points of
the group `cosign.compress`: modules with HELP, add_options(parser) and run(options).
"""

import argparse
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from compress.file import container
from compress.file.packing import CODINGS
from compress.model.tidy import tidy
from compress.zoo.density import uniform, uniform_but_delicate
from compress.zoo.networks import NETWORKS, entry_for, is_foreign, preset
from cosign import CosignError, exit_status, numbers, write_json


def inspect(path: Path) -> dict[str, Any]:
    """Sizes in bytes by layer and purpose, as Tables 5 and 6 count them, and computation.

    `macs` are the multiply-accumulates of one image with the weights that are left, `mac_bits`
    their product with the bits of a weight (Table 8, where a MAC counts as two operations). `dead`
    are those of the `filters`, neurons of a linear layer, that have no weight. `conv` sums up the
    convolutions. `header_bytes` is the rest of the file: names, geometry, scales and checksums.
    Raises CosignError when the file is missing or damaged.
    """
    model, sizes = container.inspect(path)
    layers = [
        {
            "name": layer.name,
            "kind": layer.geometry.kind,
            "weights": layer.geometry.weights,
            "nonzeros": layer.nnz,
            "filters": layer.geometry.out_channels,
            "dead": layer.dead,
            "bits": layer.bits,
            "macs": _macs(layer),
            "mac_bits": _macs(layer) * layer.bits,
            "index_coding": sizes[layer.name].index_coding,
            "index_bits": sizes[layer.name].index_bits,
            "data_bytes": sizes[layer.name].data_bytes,
            "index_bytes": sizes[layer.name].index_bytes,
            "bias_bytes": sizes[layer.name].bias_bytes,
        }
        for layer in model.layers
    ]
    total = _total(layers)
    total["file_bytes"] = path.stat().st_size
    total["header_bytes"] = total["file_bytes"] - sum(total[key] for key in _BYTES)
    conv = _total([layer for layer in layers if layer["kind"] == "conv"])
    return {"network": model.name, "layers": layers, "conv": conv, "total": total}


_BYTES = ("data_bytes", "index_bytes", "bias_bytes")


def _macs(layer: container.Layer) -> int:
    return layer.nnz * layer.geometry.out_height * layer.geometry.out_width


def _total(layers: list[dict[str, Any]]) -> dict[str, Any]:
    keys = ("weights", "nonzeros", "filters", "dead", "macs", "mac_bits", *_BYTES)
    return {key: sum(layer[key] for layer in layers) for key in keys}


def table(report: dict[str, Any]) -> str:
    """The report of `inspect` as aligned text."""
    head = (
        "layer",
        "weights",
        "non-zeros",
        "pruning",
        "dead",
        "bits",
        "MACs",
        "MAC x bits",
        "index",
        "data B",
        "index B",
        "bias B",
    )
    rows: list[tuple[str, ...]] = [head]
    for layer in report["layers"]:
        index = layer["index_coding"]
        if layer["index_bits"]:
            index += f" {layer['index_bits']}b"
        rows.append(_row(layer["name"], layer, str(layer["bits"]), index))
    total = report["total"]
    mean_bits = sum(layer["bits"] * layer["nonzeros"] for layer in report["layers"])
    if report["conv"]["weights"] not in (0, total["weights"]):
        rows.append(_row("all conv", report["conv"], "", ""))
    rows.append(_row("total", total, f"{mean_bits / max(total['nonzeros'], 1):.2f}", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 8) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    dense = 4 * total["weights"]
    lines.append(
        f"header {total['header_bytes']:,} B, file {total['file_bytes']:,} B; 32-bit weights "
        f"{dense:,} B: {dense / max(total['data_bytes'], 1):,.0f}x by weight data, "
        f"{dense / total['file_bytes']:,.0f}x by file"
    )
    return "\n".join([f"{report['network']}", *lines])


def _row(name: str, part: dict[str, Any], bits: str, index: str) -> tuple[str, ...]:
    ratio = part["weights"] / max(part["nonzeros"], 1)
    dead = f"{part['dead']:,}/{part['filters']:,}"
    counts = (f"{part['weights']:,}", f"{part['nonzeros']:,}", f"{ratio:.2f}x", dead, bits)
    work = (f"{part[key] / 1e6:,.2f}M" for key in ("macs", "mac_bits"))
    return (name, *counts, *work, index, *(f"{part[key]:,}" for key in _BYTES))


def export(options: argparse.Namespace) -> str:
    """Write the file that the options ask for; returns what to say about its weights."""
    from compress.exchange import pretrained
    from compress.posttrain import pipeline  # torch: inspect does without

    options.network, options.alpha = preset(options.network, options.alpha)
    if (options.alpha is None) == (options.ratio is None):
        raise CosignError("export needs --alpha, --ratio or a row of the paper, one of them.")
    if is_foreign(options.network):
        return _export_own(options)
    if options.network not in NETWORKS:
        raise CosignError(
            f"unknown network {options.network!r}; choose {', '.join(NETWORKS)}, or give an ONNX "
            "file."
        )
    if options.mean is not None or options.std is not None:
        raise CosignError("--mean and --std are for a network of your own.")
    if not 0 <= options.seed < 1 << 63:
        raise CosignError(f"seed is {options.seed}, must be 0 or more and below 2**63.")
    entry = NETWORKS[options.network]
    bits = entry.bits.by_layer(entry.spec)
    if options.bits is not None:
        bits = dict.fromkeys(bits, options.bits)
    if options.ratio is not None:
        chosen = uniform(entry.spec, options.ratio)
    else:
        chosen = entry.densities(options.alpha)
    weights = options.weights and pretrained.find(options.network, options.weights, _say)
    count = pipeline.CALIBRATION_IMAGES[options.method]
    pixels = pipeline.calibration_images(entry.spec.shape, options.images, options.seed, count)
    if weights is None:
        network, source = pipeline.untrained(options.network, pixels, options.seed)
    else:
        network, source = pipeline.load(options.network, weights)
    model = pipeline.compress(network, source, chosen, bits, pixels, options.method, _say)
    container.save(model, options.out)
    images = f"{len(pixels)} {'generated images' if options.images is None else 'images'}"
    if options.images is not None:
        images += f" of {options.images}"
    if weights is None:
        return (
            f"The weights are UNTRAINED (random, seed {options.seed}): the file has the structure "
            f"of {options.network} and no accuracy. Calibrated on {images}."
        )
    return (
        f"Weights of {options.weights}, pruned and quantised without retraining. Calibrated on "
        f"{images}."
    )


def _export_own(options: argparse.Namespace) -> str:
    """The same of an ONNX file or a torch module, with the weights that it has."""
    from compress.exchange import pretrained, sources
    from compress.nn.network import pretrained_network
    from compress.posttrain import pipeline
    from compress.posttrain.integers import input_spec
    from compress.train import recipes

    if options.weights is not None:
        raise CosignError(f"{options.network} has its own weights; leave --weights out.")
    own = sources.load(options.network)
    spec = own.spec
    if options.ratio is None:
        chosen = recipes.pretrained_densities(own, options.alpha)
    else:
        chosen = recipes.without_zeros(own, uniform_but_delicate(spec, options.ratio))
    bits = entry_for(spec).bits.by_layer(spec)
    if options.bits is not None:
        bits = dict.fromkeys(bits, options.bits)
    if spec.shape[0] not in (1, 3):
        raise CosignError(
            f"{options.network} reads images of {spec.shape[0]} channels, calibrated is on 1 or 3."
        )
    mean, std = pretrained.pixels_of(spec)
    source = input_spec(spec.shape, tuple(options.mean or mean), tuple(options.std or std))
    count = pipeline.CALIBRATION_IMAGES[options.method]
    pixels = pipeline.calibration_images(spec.shape, options.images, options.seed, count)
    network = pretrained_network(own)
    model = pipeline.compress(network, source, chosen, bits, pixels, options.method, _say)
    container.save(model, options.out)
    return (
        f"Weights of {options.network}, pruned and quantised without retraining. Calibrated on "
        f"{len(pixels)} images{f' of {options.images}' if options.images else ', generated ones'}."
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def repack(options: argparse.Namespace) -> str:
    """Write a file again, tidied; returns what that did to its size."""
    model = tidy(container.load(options.model))
    before = options.model.stat().st_size
    container.save(model, options.out, options.coding)
    return f"{before:,} B became {options.out.stat().st_size:,} B; the outputs are the same."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compress", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("inspect", help="show what every byte of a file is for")
    command.add_argument("model", type=Path, help="a model.cosign file")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    command = commands.add_parser(
        "export", help="compress a network without training and write the file"
    )
    command.add_argument(
        "--network",
        required=True,
        help=f"{', '.join(NETWORKS)}, or one with a row of the paper, vgg16-26x; an ONNX file, or "
        "package.module:factory, a function that returns a torch module",
    )
    amount = command.add_mutually_exclusive_group()
    amount.add_argument(
        "--alpha",
        metavar="PRESET|FILE",
        help="densities: a preset of the network, or a JSON file {layer: density}",
    )
    amount.add_argument(
        "--ratio", type=float, metavar="R", help="one weight of R stays, in every layer"
    )
    command.add_argument(
        "--method",
        choices=("magnitude", "oneshot"),
        default="magnitude",
        help="keep the largest weights, or those that keep each layer's answers on the images, by "
        "layer-wise ADMM (default: %(default)s)",
    )
    command.add_argument(
        "--bits",
        type=int,
        choices=range(1, 9),
        metavar="N",
        help="bits of every weight, 1 to 8 (default: the paper's for the network)",
    )
    command.add_argument(
        "--weights",
        metavar="FILE|DIR|imagenet",
        help="state dict named as in torchvision or a converted Caffe model; a layers model of "
        "TensorFlow.js; imagenet fetches those of resnet50-v1 (default: untrained)",
    )
    command.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="images to calibrate on (default: generated ones)",
    )
    for option, meaning in (("--mean", "mean"), ("--std", "standard deviation")):
        command.add_argument(
            option,
            type=numbers,
            metavar="R,G,B",
            help=f"{meaning} of pixels of 0 to 1 by channel, as an ONNX file's or module's network "
            "was trained with (default: ImageNet's, MNIST's)",
        )
    command.add_argument("--seed", type=int, default=0, help="of weights and generated images")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="model.cosign")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the sizes here")
    command = commands.add_parser("convert", help="write a compressed network in another format")
    command.add_argument("model", type=Path, help="a model.cosign file")
    command.add_argument(
        "--to",
        required=True,
        choices=("qdq", "qonnx", "safetensors"),
        help="ONNX that onnxruntime executes to the same integers; ONNX with Quant nodes; weights "
        "and masks",
    )
    command.add_argument("--out", type=Path, required=True, metavar="FILE")
    command = commands.add_parser(
        "repack", help="write a file again without what makes no difference, channels sorted"
    )
    command.add_argument("model", type=Path, help="a model.cosign file")
    command.add_argument(
        "--coding", choices=CODINGS, help="of all layers (default: the smallest for each)"
    )
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="model.cosign")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the sizes here")
    command = commands.add_parser("images", help="write images of a test split as uint8 pixels")
    command.add_argument("--network", required=True, choices=NETWORKS)
    command.add_argument(
        "--data",
        required=True,
        metavar="mnist|cifar10|imagenette|synthetic|DIR",
        help="the data set",
    )
    command.add_argument("--count", type=int, required=True, metavar="N", help="the first N images")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.npy")
    for other in entry_points(group="cosign.compress"):
        module = other.load()
        command = commands.add_parser(other.name, help=module.HELP)
        module.add_options(command)
        command.set_defaults(run=module.run)
    return parser


def _run(options: argparse.Namespace) -> int:
    if hasattr(options, "run"):
        return int(options.run(options))
    if options.command == "images":
        from compress.data import images  # torch: inspect does without

        images.write(options.network, options.data, options.count, options.out)
        return 0
    if options.command == "convert":
        from compress.exchange import convert  # onnx: inspect does without

        convert.write(container.load(options.model), options.to, options.out)
        return 0
    writers = {"export": export, "repack": repack}
    writer = writers.get(options.command)
    note = writer(options) if writer else ""
    report = inspect(options.out if writer else options.model)
    if options.json:
        write_json(options.json, report)
    print("\n".join(filter(None, (table(report), note))))
    return 0


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    return exit_status(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
