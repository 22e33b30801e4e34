"""What ADMM costs beside plain training, as ratios in one run, on one thread. Prints JSON.

- projection: keep the largest of AlexNet's fc1's 37.7M weights, against torch.topk on them;
- interval: the search for q on the weights that are left, and how far its error lies above the
  least that a scan of so many intervals, each settled, finds;
- step: forward, backward and optimiser of a batch, with and without the penalty, by turns; and all
  layers' searches for q as a share of an epoch of plain steps.

    python benchmarks/admm.py --json build/admm.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import best, spent
from torch.nn import functional

from compress.admm import projections
from compress.admm.constraints import prune_projection
from compress.nn.network import Network
from compress.train.regimes import AdmmRegime, Regime
from compress.zoo.networks import recipe, spec_of
from cosign import write_json

_SCANNED = 20_000
_CLASSES = 10
_IMAGES = {"lenet5": 55_000, "alexnet": 1_281_167}
"""Of an epoch: MNIST without its validation split, ImageNet."""


def projection(turns: int, seed: int) -> dict[str, Any]:
    geometry = spec_of("alexnet").geometries["fc1"]
    shape = (geometry.out_channels, geometry.columns)
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    keep = recipe("alexnet").keep["fc1"]
    mask = projections.prune_mask(values, keep)
    tensor = torch.from_numpy(values)

    def topk() -> torch.Tensor:
        return torch.topk(tensor.abs().reshape(-1), keep, sorted=False).indices

    reference = np.zeros(values.size, bool)
    reference[topk().numpy()] = True
    # Of equal magnitudes at the threshold topk keeps any: the sets agree up to those.
    exact = np.array_equal(
        np.sort(np.abs(values[mask])), np.sort(np.abs(values.reshape(-1)[reference]))
    )
    ours = best(lambda: projections.prune_mask(values, keep), turns)
    rival = best(topk, turns)
    return {
        "weights": values.size,
        "kept": keep,
        "exact": exact,
        "seconds": ours,
        "topk_seconds": rival,
        "ratio": rival / ours,
    }


def interval(turns: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for count, bits in ((5_000, 3), (1_057_000, 3), (1_057_000, 8)):
        values = (rng.standard_normal(count) + np.sign(rng.standard_normal(count))).astype(
            np.float32
        )
        prefix = projections._Prefix(values, bits)
        q = projections.best_interval(values, bits)
        least = scan(prefix)
        error = float(prefix.error(np.array([q]))[0])
        found[f"{count} weights, {bits} bits"] = {
            "seconds": best(lambda: projections.best_interval(values, bits), turns),  # noqa: B023
            "error_above_least": max(0.0, error / least - 1),
        }
    return found


def scan(prefix: projections._Prefix) -> float:
    """The least error of many intervals, the ten best of them settled."""
    largest = float(prefix.sorted[-1])
    tried = np.linspace(largest / prefix.top / 64, largest, _SCANNED)
    errors = prefix.error(tried)
    settled = [prefix.settle(float(tried[place])) for place in np.argsort(errors)[:10]]
    return float(min(errors.min(), prefix.error(np.array(settled)).min()))


def step(network: str, turns: int, seed: int) -> dict[str, Any]:
    """Turns of one plain and one ADMM step each; the fastest of both."""
    torch.manual_seed(seed)
    chosen = recipe(network, classes=_CLASSES)
    spec, batch = chosen.spec, chosen.batch
    model = Network(spec).train()
    plain = Regime(model, {})
    admm = AdmmRegime(model, {}, [prune_projection(chosen.keep)], 1e-3)
    x = torch.randn(batch, *spec.shape)
    y = torch.randint(0, _CLASSES, (batch,))

    optimizers = {
        regime: torch.optim.Adam(regime.parameters(), 1e-6, fused=True) for regime in (plain, admm)
    }

    def once(regime: Regime) -> None:
        optimizer = optimizers[regime]
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(x), y).backward()
        regime.after_backward(optimizer)
        optimizer.step()
        regime.after_step()

    once(plain)
    once(admm)
    times = [(spent(lambda: once(plain)), spent(lambda: once(admm))) for _ in range(turns)]
    plain_s, admm_s = (min(column) for column in zip(*times, strict=True))
    rng = np.random.default_rng(seed)
    kept = {name: rng.standard_normal(count, np.float32) for name, count in chosen.keep.items()}
    search_s = spent(
        lambda: [projections.best_interval(kept[name], chosen.bits[name]) for name in kept]
    )
    return {
        "batch": batch,
        "plain_seconds": plain_s,
        "admm_seconds": admm_s,
        "ratio": admm_s / plain_s,
        "interval_seconds": search_s,
        "interval_of_epoch": search_s / (plain_s * _IMAGES[network] / batch),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    turns, seed = options.turns, options.seed
    torch.set_num_threads(1)
    result = {
        "projection": projection(turns, seed),
        "interval": interval(turns, seed),
        "step": {
            "lenet5": step("lenet5", 20 * turns, seed),
            "alexnet": step("alexnet", turns, seed),
        },
    }
    if options.json:
        write_json(options.json, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
