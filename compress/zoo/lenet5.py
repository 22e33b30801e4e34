"""LeNet-5, the paper's network for MNIST."""

from compress.model.nodes import Builder, NetworkSpec
from compress.zoo.entry import Bits, Entry
from compress.zoo.recipe import Phase, Training


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


def _row(*densities: float) -> dict[str, float]:
    return dict(zip(lenet5_spec().geometries, densities, strict=True))


# Whole epochs: 55,000 images are 860 batches. Adam's rate is its authors' (Kingma & Ba 2015), a
# third of it for quantising. 512 images calibrate: `cosign baselines lenet5`
# compares that with none (docs/results/baselines.md).
_TRAINING = Training(
    batch=64,
    dense=Phase(steps=4300, lr=1e-3, points=5),
    prune=Phase(steps=5160, lr=1e-3, points=12, rhos=(1e-3, 1e-2, 1e-1)),
    retrain=Phase(steps=3440, lr=1e-3, points=4),
    allocate=Phase(steps=300, lr=1e-3, points=0),
    quantize=Phase(steps=1720, lr=3e-4, points=8, rhos=(1e-2, 1e-1)),
    settle=Phase(steps=860, lr=3e-4, points=1),
    calibration=512,
)

LENET5 = Entry(
    build=lenet5_spec,
    bits=Bits(conv=4, linear=3),  # ours; §4.2 says more bits for the convolutions
    training=_TRAINING,
    rows={
        "default": _row(0.40, 0.10, 0.0115, 0.10),  # ours
        # The ratios of Table 1 (5.06K and 2.58K weights); how layers share them is ours.
        "85x": _row(0.25, 0.07, 0.007, 0.08),
        "167x": _row(0.2, 0.04, 0.0033, 0.032),
    },
    alpha="default",
    data="mnist",
    calibration_images=2000,  # untuned
    rtl_images=16,
)
