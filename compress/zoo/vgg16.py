"""VGG-16, pruned from given weights."""

from compress.model.nodes import Builder, NetworkSpec
from compress.zoo.alexnet import caffe_modules, classifier
from compress.zoo.density import uniform
from compress.zoo.entry import Bits, Entry, Modules, Naming
from compress.zoo.recipe import DEEP


def vgg16_spec(classes: int = 1000) -> NetworkSpec:
    """VGG-16, configuration D (Simonyan & Zisserman 2015): 224 x 224 input, 138.3M weights.

    Its fully connected layers, fc6 to fc8 in Caffe, are called fc1 to fc3 as AlexNet's are.
    """
    net = Builder("vgg16", (3, 224, 224))
    blocks = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for block, (channels, convolutions) in enumerate(blocks, 1):
        for number in range(1, convolutions + 1):
            net.conv(f"conv{block}_{number}", channels, 3, padding=1)
        net.maxpool(f"pool{block}", 2, 2)
    classifier(net, classes)
    return net.spec()


# torchvision numbers its modules, pooling, ReLU and dropout included.
_FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_CLASSIFIER = (0, 3, 6)
_TORCHVISION = dict(
    zip(
        vgg16_spec().geometries,
        [f"features.{n}" for n in _FEATURES] + [f"classifier.{n}" for n in _CLASSIFIER],
        strict=True,
    )
)


def _torchvision(layer: str) -> Modules:
    return Modules(_TORCHVISION[layer], "")


# The paper states overall ratios only (Table 3). The same density for every layer is ours, so that
# totals agree; no layer's density is the paper's.
VGG16 = Entry(
    build=vgg16_spec,
    bits=Bits(conv=5, linear=3),  # Table 6
    training=DEEP,
    rows={f"{ratio}x": uniform(vgg16_spec(), ratio) for ratio in (20, 26)},
    namings=(Naming(caffe_modules), Naming(_torchvision)),
)
