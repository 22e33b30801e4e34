"""Bits by layer, as few as the validation split allows (`--bits auto`).

From 8 bits everywhere one bit after another goes where it saves most: a bit of a layer saves as
many as the layer keeps weights. A step that brings the accuracy of the quantised network (§3.4.2,
every layer's q at the least square error) below the bound is taken back, and the layer has its n.
What training makes up for later is not foreseen, so that the choice errs on the side of bits too
many.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from compress.models import Network
from compress.regimes import quantize_projection

MOST_BITS = 8


@torch.no_grad()
def choose(
    network: Network,
    masks: dict[str, Tensor],
    loss: float,
    accuracy: Callable[[], float],
    report: Callable[[dict[str, int]], None],
) -> dict[str, int]:
    """n by layer, 1..8. The network is as before afterwards.

    loss : accuracy that may be lost against the network as it is, 0..1
    accuracy : of `network` as it is when called, on the validation split
    report : told the bits of every trial
    """
    before = {name: weight.detach().clone() for name, weight in network.weights.items()}

    def put(name: str, n: int) -> None:
        network.weights[name].copy_(quantize_projection({name: n}, masks)(name, before[name]))

    bound = accuracy() - loss
    bits = dict.fromkeys(before, MOST_BITS)
    for name, n in bits.items():
        put(name, n)
    for name in sorted(before, key=lambda name: -int(torch.count_nonzero(masks[name]))):
        while bits[name] > 1:
            put(name, bits[name] - 1)
            report(bits | {name: bits[name] - 1})
            if accuracy() < bound:
                put(name, bits[name])
                break
            bits[name] -= 1
    for name, weight in before.items():
        network.weights[name].copy_(weight)
    return bits
