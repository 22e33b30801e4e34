"""The built-in networks, layer by layer, without torch.

Geometry from `spec_of(network).geometries`.
"""

from collections.abc import Callable
from dataclasses import replace

from compress.model.nodes import Builder, NetworkSpec, NodeSpec
from compress.zoo.cifar_networks import cifar_resnet20_spec, cifar_vgg_spec
from cosign import CosignError

__all__ = [
    "CIFAR",
    "NETWORKS",
    "NetworkSpec",
    "NodeSpec",
    "folded",
    "is_built_in",
    "is_foreign",
    "spec_of",
]


def lenet5_spec(classes: int = 10) -> NetworkSpec:
    """Caffe's LeNet-5 (20-50-500-10) with 430,500 weights; both convolutions rectified."""
    net = Builder("lenet5", (1, 28, 28))
    net.conv("conv1", 20, 5)
    net.maxpool("pool1", 2, 2)
    net.conv("conv2", 50, 5)
    net.maxpool("pool2", 2, 2)
    net.host("flatten", "flatten")
    net.linear("fc1", 500)
    net.linear("fc2", classes, relu=False)
    return net.spec()


def alexnet_spec(classes: int = 1000, dropout: float = 0.5) -> NetworkSpec:
    """BVLC AlexNet: 227 x 227 input, grouped conv2/4/5, LRN before pooling, 60.9M weights."""
    return _alexnet("alexnet", classes, dropout, norm_first=True)


def caffenet_spec(classes: int = 1000, dropout: float = 0.5) -> NetworkSpec:
    """BVLC CaffeNet: AlexNet with LRN after pooling."""
    return _alexnet("caffenet", classes, dropout, norm_first=False)


def _alexnet(name: str, classes: int, dropout: float, norm_first: bool) -> NetworkSpec:
    net = Builder(name, (3, 227, 227))

    def pool_and_norm(number: int) -> None:
        for norm in (norm_first, not norm_first):
            if norm:
                net.host(f"norm{number}", "lrn", size=5, alpha=1e-4, beta=0.75, k=1.0)
            else:
                net.maxpool(f"pool{number}", 3, 2)

    net.conv("conv1", 96, 11, stride=4)
    pool_and_norm(1)
    net.conv("conv2", 256, 5, padding=2, groups=2)
    pool_and_norm(2)
    net.conv("conv3", 384, 3, padding=1)
    net.conv("conv4", 384, 3, padding=1, groups=2)
    net.conv("conv5", 256, 3, padding=1, groups=2)
    net.maxpool("pool5", 3, 2)
    _classifier(net, classes, dropout)
    return net.spec()


def _classifier(net: Builder, classes: int, dropout: float) -> None:
    """Two fully connected layers of 4,096 neurons with dropout, and the logits."""
    net.host("flatten", "flatten")
    for number in (1, 2):
        net.linear(f"fc{number}", 4096)
        net.host(f"drop{number}", "dropout", p=dropout)
    net.linear("fc3", classes, relu=False)


def vgg16_spec(classes: int = 1000, dropout: float = 0.5) -> NetworkSpec:
    """VGG-16, configuration D (Simonyan & Zisserman 2015): 224 x 224 input, 138.3M weights.

    Its fully connected layers, fc6 to fc8 in Caffe, are called fc1 to fc3 as AlexNet's are.
    """
    net = Builder("vgg16", (3, 224, 224))
    blocks = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for block, (channels, convolutions) in enumerate(blocks, 1):
        for number in range(1, convolutions + 1):
            net.conv(f"conv{block}_{number}", channels, 3, padding=1)
        net.maxpool(f"pool{block}", 2, 2)
    _classifier(net, classes, dropout)
    return net.spec()


def resnet50_spec(classes: int = 1000) -> NetworkSpec:
    """ResNet-50 v1.5 (the stride is in the 3 x 3 convolutions): 224 x 224, 25.5M weights.

    Named as in torchvision, but for `downsample`, there `downsample.0`. Every convolution is
    batch-normalised.
    """
    return _resnet50("resnet50", classes, stride_first=False)


def resnet50_v1_spec(classes: int = 1000) -> NetworkSpec:
    """ResNet-50 of the publication, Caffe and Keras: the stride is in the first 1 x 1."""
    return _resnet50("resnet50-v1", classes, stride_first=True)


def _resnet50(name: str, classes: int, stride_first: bool) -> NetworkSpec:
    net = Builder(name, (3, 224, 224))
    net.conv("conv1", 64, 7, stride=2, padding=3, batch_norm=True)
    source = net.maxpool("maxpool", 3, 2, padding=1)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            strides = (stride, 1) if stride_first else (1, stride)
            source = _bottleneck(net, f"layer{stage + 1}.{block}", source, 64 << stage, strides)
    net.host("avgpool", "avgpool", kernel=0, stride=1, padding=0)
    net.host("flatten", "flatten")
    net.linear("fc", classes, relu=False)
    return net.spec()


def _bottleneck(net: Builder, name: str, source: str, width: int, strides: tuple[int, int]) -> str:
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut (He et al. 2016, Fig. 5).

    strides : of the first two; the shortcut has both
    """
    net.conv(f"{name}.conv1", width, 1, strides[0], batch_norm=True, source=source)
    net.conv(f"{name}.conv2", width, 3, strides[1], padding=1, batch_norm=True)
    inner = net.conv(f"{name}.conv3", 4 * width, 1, relu=False, batch_norm=True)
    shortcut = source
    if name.endswith(".0"):  # a stage's first block changes the shape
        shortcut = net.conv(
            f"{name}.downsample",
            4 * width,
            1,
            strides[0] * strides[1],
            relu=False,
            batch_norm=True,
            source=source,
        )
    return net.host(f"{name}.add", "add", inner, shortcut, relu=True)


def folded(spec: NetworkSpec) -> NetworkSpec:
    """The same layers without batch normalisation, as a trained network is executed."""
    return replace(spec, nodes=tuple(replace(node, batch_norm=False) for node in spec.nodes))


NETWORKS: dict[str, Callable[..., NetworkSpec]] = {
    "lenet5": lenet5_spec,
    "alexnet": alexnet_spec,
    "caffenet": caffenet_spec,
    "vgg16": vgg16_spec,
    "resnet50": resnet50_spec,
    "resnet50-v1": resnet50_v1_spec,
    "cifar-vgg": cifar_vgg_spec,
    "cifar-resnet20": cifar_resnet20_spec,
}
CIFAR = ("cifar-vgg", "cifar-resnet20")  # networks that read its images
_NO_DROPOUT = ("lenet5", "resnet50", "resnet50-v1", *CIFAR)


def is_foreign(network: str) -> bool:
    """Whether `network` names an ONNX file or a factory, `package.module:function`."""
    return network.endswith(".onnx") or ":" in network


def is_built_in(spec: NetworkSpec) -> bool:
    """Whether `spec` has the name and the layers of a built-in network."""
    return spec.name in NETWORKS and spec.geometries.keys() == spec_of(spec.name).geometries.keys()


def spec_of(network: str, classes: int | None = None, dropout: float = 0.5) -> NetworkSpec:
    """The built-in network of that name; `classes` is 10 for lenet5 and CIFAR's and 1000 for
    others if None.

    lenet5, CIFAR's and both resnet50 have no dropout. Raises CosignError on an unknown name.
    """
    if network not in NETWORKS:
        raise CosignError(f"unknown network {network!r}; choose {', '.join(NETWORKS)}.")
    options: dict[str, float] = {} if classes is None else {"classes": classes}
    if network not in _NO_DROPOUT:
        options["dropout"] = dropout
    return NETWORKS[network](**options)
