"""Networks for the 32 x 32 images of CIFAR-10, small enough to be trained on a CPU."""

from typing import Any

from compress.model.nodes import Builder, NetworkSpec


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
                options: dict[str, Any] = {"relu": False, "batch_norm": True, "source": source}
                source = net.conv(f"{name}.downsample", width, 1, stride, **options)
            source = net.host(f"{name}.add", "add", inner, source, relu=True)
    net.host("avgpool", "avgpool", kernel=0, stride=1, padding=0)
    net.host("flatten", "flatten")
    net.linear("fc", classes, relu=False)
    return net.spec()
