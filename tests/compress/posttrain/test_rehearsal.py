"""What is written of a network before it is trained."""

import pytest

from compress.file import container
from compress.model.graph import Layer
from compress.model.nodes import Builder, NetworkSpec
from compress.posttrain.integers import blank
from compress.posttrain.rehearsal import rehearse
from cosign import CosignError


def tiny_maps() -> NetworkSpec:
    """VGG on 2 x 2 pixels, a depthwise layer on 1 x 1, both through branches and a dropout."""
    net = Builder("tiny maps", (3, 8, 8))
    net.conv("stem", 4, 3, padding=1, batch_norm=True)
    pool = net.maxpool("pool", 4, 4)
    wide = net.conv("vgg", 4, 3, padding=1, relu=False)
    net.host("add", "add", pool, wide, relu=True)
    net.host("both", "concat", "add", pool)
    net.maxpool("last", 2, 2)
    net.conv("depthwise", 8, 3, padding=1, groups=8)
    net.host("drop", "dropout", p=0.5)
    net.host("flatten", "flatten")
    net.linear("fc", 5, relu=False)
    return net.spec()


def test_a_network_is_read_as_it_was_written() -> None:
    spec = tiny_maps()
    model = rehearse(spec)
    assert {layer.name: layer.geometry for layer in model.layers} == spec.geometries
    assert [layer.nnz for layer in model.layers] == [1, 1, 1, 1]
    kinds = [node.geometry.kind if isinstance(node, Layer) else node.op for node in model.nodes]
    assert kinds == [node.op for node in spec.nodes if node.op != "dropout"]


def test_what_is_written_wrongly_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_layer(kernel: int) -> NetworkSpec:
        net = Builder("x", (3, 8, 8))
        net.conv("stem", 4, kernel, padding=kernel // 2)
        return net.spec()

    another = container.to_bytes(blank(one_layer(5)))
    monkeypatch.setattr(container, "to_bytes", lambda _: another)
    with pytest.raises(CosignError, match="'stem' is read as another one"):
        rehearse(one_layer(3))
    monkeypatch.setattr(container, "to_bytes", lambda _: another[:-3])
    with pytest.raises(CosignError, match=r"x cannot be written as model\.cosign: .*damaged"):
        rehearse(one_layer(3))
