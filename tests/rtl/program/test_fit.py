"""The smallest memories: layers fit them, and nothing smaller."""

import dataclasses

import pytest
from random_layers import obeying, random_layer

from compress.model.graph import Geometry
from compress.zoo.networks import spec_of
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.program.fit import batch_for, feed, fit, with_maps
from rtl.program.pack import pack_layer
from sim.cycles import layer_cycles


@pytest.mark.parametrize(
    "config",
    [
        CoreConfig(lanes=13, drain=2),
        CoreConfig(lanes=13, coding="absolute"),
        CoreConfig(lanes=13, coding="bitmask", mask_bits=10),
        CoreConfig(lanes=13, coding="bitmask", mask_bits=4, streams=3),
        feed(CoreConfig(), core="dense-2d", filters=4, lanes=6),
        feed(CoreConfig(), core="dense-packed", filters=4, lanes=6, mask_bits=8),
        feed(CoreConfig(), core="sparse-rows", filters=4, lanes=6),
        feed(CoreConfig(), core="sparse-nm", filters=4, lanes=6, nm_group=8),
    ],
    ids=lambda config: f"{config.core}-{config.coding}",
)
def test_fitted_memories_are_the_smallest(config):
    """They hold every layer; 64 words less of any of them hold one layer less."""
    layers = [
        random_layer(Geometry("conv", 30, 20, 20, 20, (3, 3)), 0.6, name="conv"),
        random_layer(Geometry("linear", 700, 9), 0.5, name="fc"),
    ]
    layers = [obeying(layer, config) for layer in layers]
    ranges = {layer.name: (0, 127) for layer in layers}
    fitted = fit(config, layers, 8, ranges=ranges)

    def refused(core: CoreConfig) -> bool:
        try:
            for layer in layers:
                program = pack_layer(layer, core, 8 if layer.name == "fc" else 1, (0, 127))
                if program.stripes > core.tiles:
                    return True
        except CosignError:
            return True
        return False

    assert not refused(fitted)
    smaller = [("weight_depth", 64), ("act_depth", 64), ("acc_bits", 1)]
    smaller += [("mask_depth", 64)] * fitted.masked
    for name, step in smaller:
        depth = getattr(fitted, name) - step
        if depth >= 12:
            assert refused(dataclasses.replace(fitted, **{name: depth})), name


@pytest.mark.parametrize(
    ("network", "batch"), [("alexnet", 16), ("lenet5", 16), ("vgg16", 64), ("cifar-vgg", 17)]
)
def test_a_batch_fits_the_memory_of_the_convolutions(network, batch):
    """Or is the fewest images; with one more image, linear layers would need the most memory."""
    layers = spec_of(network).geometries.values()
    assert batch_for(layers) == batch
    convolutions = [g for g in layers if g.kind == "conv"]

    def depth(geometries, images):
        return with_maps(feed(CoreConfig(), lanes=4), geometries, images).act_depth

    if network == "lenet5":
        assert depth(layers, batch) > depth(convolutions, 1)
    else:
        assert depth(layers, batch) == depth(convolutions, 1)
    if network in ("alexnet", "cifar-vgg"):
        assert depth(layers, batch + 1) > depth(convolutions, 1)


def test_a_network_without_convolutions_has_a_batch():
    assert batch_for([Geometry("linear", 100_000, 10)]) == 16
    assert batch_for([Geometry("conv", 3, 8, 32, 32, (3, 3))]) == 64


def test_stripes_bound_the_activation_memory():
    layer = random_layer(Geometry("conv", 4, 2, 60, 60, (3, 3)), 0.5)
    whole, cut = (fit(CoreConfig(lanes=13), [layer], act_bytes=n) for n in (None, 4096))
    assert whole.act_bytes > 4 * 60 * 60
    assert cut.act_bytes <= 4096
    assert layer_cycles(layer, cut) > layer_cycles(layer, whole)


def test_an_address_that_would_read_as_a_filler_is_not_needed():
    """A map that fills whole words: its last byte's address must not be all ones."""
    layer = random_layer(Geometry("linear", 4096, 2), 1.0)
    relative, absolute = (fit(CoreConfig(coding=c), [layer]) for c in ("relative", "absolute"))
    assert relative.act_bytes == 4096
    assert absolute.act_bytes > 4096
    assert pack_layer(layer, absolute).stripes == 1
