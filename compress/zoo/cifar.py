"""Networks for the 32 x 32 images of CIFAR-10, small enough to be trained on a CPU."""

from compress.model.nodes import Builder, NetworkSpec
from compress.zoo.entry import Bits, Build, Entry
from compress.zoo.recipe import Phase, Training


def cifar_vgg_spec(classes: int = 10) -> NetworkSpec:
    """A small VGG for 32 x 32 images: three pairs of 3 x 3 convolutions, 0.3M weights, 38M MACs.

    Every convolution is batch-normalised while it trains.
    """
    net = Builder("cifar-vgg", (3, 32, 32))
    for block, channels in enumerate((32, 64, 128), 1):
        for number in (1, 2):
            net.conv(f"conv{block}_{number}", channels, 3, padding=1, batch_norm=True)
        net.maxpool(f"pool{block}", 2, 2)
    net.host("flatten", "flatten")
    net.linear("fc", classes, relu=False)
    return net.spec()


def cifar_resnet20_spec(classes: int = 10) -> NetworkSpec:
    """ResNet-20 for 32 x 32 images (He et al. 2016, §4.2): 0.27M weights, 41M MACs.

    Where a stage changes the shape, the shortcut is a 1 x 1 convolution (their option B). Every
    convolution is batch-normalised while it trains.
    """
    net = Builder("cifar-resnet20", (3, 32, 32))
    source = net.conv("conv1", 16, 3, padding=1, batch_norm=True)
    for stage in range(3):
        for block in range(3):
            name, width, stride = f"layer{stage + 1}.{block}", 16 << stage, 2 if stage else 1
            stride = 1 if block else stride
            net.conv(f"{name}.conv1", width, 3, stride, padding=1, batch_norm=True, source=source)
            inner = net.conv(f"{name}.conv2", width, 3, padding=1, relu=False, batch_norm=True)
            if stride > 1:
                source = net.conv(
                    f"{name}.downsample",
                    width,
                    1,
                    stride,
                    relu=False,
                    batch_norm=True,
                    source=source,
                )
            source = net.host(f"{name}.add", "add", inner, source, relu=True)
    net.host("avgpool", "avgpool", kernel=0, stride=1, padding=0)
    net.host("flatten", "flatten")
    net.linear("fc", classes, relu=False)
    return net.spec()


# Seven epochs of 45,000 images before pruning and seven after; a step takes 0.15 to 0.21 s of one
# core. No run has tuned the rates yet.
_TRAINING = Training(
    batch=64,
    dense=Phase(steps=4900, lr=2e-3, points=7),
    prune=Phase(steps=2100, lr=5e-4, points=9, rhos=(1e-3, 1e-2, 1e-1)),
    retrain=Phase(steps=2100, lr=5e-4, points=3),
    allocate=Phase(steps=200, lr=5e-4, points=0),
    quantize=Phase(steps=700, lr=2e-4, points=8, rhos=(1e-2, 1e-1)),
    settle=Phase(steps=350, lr=2e-4, points=1),
    calibration=128,
    warmup=50,
)


def _entry(build: Build) -> Entry:
    """The paper has no network of this size: no row, and bits and ratio are ours."""
    return Entry(
        build=build,
        bits=Bits(conv=5, linear=4),
        training=_TRAINING,
        rows={},
        alpha="5x",
        data="cifar10",
    )


CIFAR_VGG = _entry(cifar_vgg_spec)
CIFAR_RESNET20 = _entry(cifar_resnet20_spec)
