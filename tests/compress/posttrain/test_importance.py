"""What outputs feel of a filter's errors, against gradients of every output by itself."""

import pytest
import torch

from compress.model.nodes import Builder
from compress.nn.network import Network
from compress.posttrain import importance


def layers(relu: bool) -> Network:
    """Two 1 x 1 convolutions of a single pixel."""
    net = Builder("two", (3, 1, 1))
    net.conv("first", 4, 1, relu=relu)
    net.conv("second", 5, 1, relu=False)
    torch.manual_seed(1)
    return Network(net.spec()).eval()


@pytest.mark.parametrize("relu", [False, True])
def test_it_is_the_sum_over_outputs_of_their_squared_slopes(
    monkeypatch: pytest.MonkeyPatch, relu: bool
) -> None:
    """Random signs average to it: of 2,000 images within some per cent."""
    monkeypatch.setattr(importance, "IMAGES", 2000)
    network = layers(relu)
    x = torch.randn(2000, 3, 1, 1)
    found = importance.aim(network, x).importance
    with torch.no_grad():
        answers = network.layers["first"](x).flatten(1)
        open_ = (answers > 0).double().mean(0) if relu else torch.ones(4).double()
        slopes = network.weights["second"].flatten(1).double().square().sum(0) * open_
        deviations = network(x).std(correction=0)
    assert deviations > 0  # one for all outputs: it cancels
    expected = (slopes / slopes.mean()).sqrt().clamp(min=importance.LEAST)
    assert found["first"].double() == pytest.approx(expected, rel=0.1)
    assert found["second"] == pytest.approx(torch.ones(5), rel=1e-5)


def test_what_no_output_reads_counts_alike_and_dead_filters_a_little() -> None:
    network = layers(relu=True)
    with torch.no_grad():
        network.biases["first"][0] = -1e3
    found = importance.aim(network, torch.randn(16, 3, 1, 1)).importance
    assert float(found["first"][0]) == pytest.approx(importance.LEAST)
    with torch.no_grad():
        network.weights["second"].zero_()
    found = importance.aim(network, torch.randn(16, 3, 1, 1)).importance
    assert torch.equal(found["first"], torch.ones(4))


def test_it_changes_nothing_and_repeats_under_no_grad() -> None:
    network, x = layers(relu=True), torch.randn(40, 3, 1, 1)
    before = [parameter.clone() for parameter in network.parameters()]
    first = importance.aim(network, x).importance
    with torch.no_grad():
        again = importance.aim(network, x).importance
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not x.requires_grad
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        assert parameter.grad is None


def test_places_have_in_common_what_an_average_makes_of_them() -> None:
    """Behind an average of all places everything; behind weights of their own for each, nothing."""
    torch.manual_seed(2)
    found = {}
    for pooled in (True, False):
        net = Builder("places", (3, 4, 4))
        net.conv("first", 4, 1, relu=False)
        if pooled:
            net.host("pool", "avgpool", kernel=4, stride=4)
        net.host("flatten", "flatten")
        net.linear("last", 300, relu=False)
        aim = importance.aim(Network(net.spec()).eval(), torch.randn(32, 3, 4, 4))
        assert aim.coherence["last"] == 0
        found[pooled] = aim.coherence["first"]
    assert found[True] == pytest.approx(1, abs=1e-5)
    assert found[False] < 0.1
