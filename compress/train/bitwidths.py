"""Bits by layer, as few as the validation split allows (`--bits auto`).

From 8 bits everywhere layers lose one bit each in turn, those that keep most weights first. A
step that brings the accuracy of the quantised network (§3.4.2, q of each layer at the least square
error) below the bound is taken back, and the layer has its n. In turn, since else the first layer
would use up all that may be lost for its last bits, the dearest, and leave 8 to the others. What
training makes up for later is not foreseen: the choice errs on the side of bits too many.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from compress.admm.constraints import quantize_projection
from compress.nn.network import Network

MOST_BITS = 8


@torch.no_grad()
def choose(
    network: Network,
    masks: dict[str, Tensor],
    loss: float,
    accuracy: Callable[[], float],
    report: Callable[[float], None],
) -> dict[str, int]:
    """n by layer, 1..8. The network is as before afterwards.

    loss : accuracy that may be lost against the network as it is, 0..1
    accuracy : of `network` as it is when called, on the validation split
    report : told the mean bits of a kept weight in every trial
    """
    before = {name: weight.detach().clone() for name, weight in network.weights.items()}
    kept = {name: int(torch.count_nonzero(mask)) for name, mask in masks.items()}
    bits = dict.fromkeys(before, MOST_BITS)
    bound = accuracy() - loss

    def put(name: str, n: int) -> None:
        bits[name] = n
        network.weights[name].copy_(quantize_projection(bits, masks)(name, before[name]))

    for name in before:
        put(name, MOST_BITS)
    falling = sorted(before, key=kept.__getitem__, reverse=True)
    while falling:
        for name in tuple(falling):
            put(name, bits[name] - 1)
            report(sum(bits[each] * count for each, count in kept.items()) / sum(kept.values()))
            if accuracy() < bound:
                put(name, bits[name] + 1)
                falling.remove(name)
            elif bits[name] == 1:
                falling.remove(name)
    for name, weight in before.items():
        network.weights[name].copy_(weight)
    return bits
