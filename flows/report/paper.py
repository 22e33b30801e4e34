"""Figures of the paper that our tables stand beside (Ren et al., ASPLOS 2019)."""

from flows.report.results import Results

BREAK_EVEN_RATIO = 2.22  # §5.1, Fig. 4: CONV4 of AlexNet, SMIC 40 nm

CONV_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")

# Table 8: bits of the weights of CONV1..CONV5, from "MAC x bits" over "MAC Operations"; the
# operations themselves are TABLE_8 of compress.zoo.alexnet.
TABLE_8_BITS: dict[str, tuple[int, ...]] = {"ours1": (7, 5, 5, 5, 5), "han": (8, 8, 8, 8, 8)}
# Tables 5 and 6, by our name of the network: accuracy degradation in %, weights, bits of the
# convolutions and of the linear layers, bytes of the data and of data and index, each with the
# ratio that the paper prints.
SIZES: dict[str, dict[str, tuple[float, float, int, int, float, float, float, float]]] = {
    "lenet5": {
        "Original LeNet-5": (0.0, 430.5e3, 32, 32, 1.7e6, 1, 1.7e6, 1),
        "Our Method": (0.2, 2.57e3, 3, 2, 0.89e3, 1910, 2.73e3, 623),
        "Iterative pruning": (0.1, 35.8e3, 8, 5, 24.2e3, 70.2, 52.1e3, 33),
    },
    "alexnet": {
        "Original AlexNet": (0.0, 60.9e6, 32, 32, 243.6e6, 1, 243.6e6, 1),
        "Our Method": (0.2, 2.25e6, 5, 3, 1.06e6, 231, 2.45e6, 99),
        "Iterative pruning": (0.0, 6.7e6, 8, 5, 5.4e6, 45, 9.0e6, 27),
        "Binary quant.": (3.0, 60.9e6, 1, 1, 7.3e6, 32, 7.3e6, 32),
        "Ternary quant.": (1.8, 60.9e6, 2, 2, 15.2e6, 16, 15.2e6, 16),
    },
    "vgg16": {
        "Original VGGNet": (0.0, 138e6, 32, 32, 552e6, 1, 552e6, 1),
        "Our Method": (0.1, 6.9e6, 5, 3, 3.2e6, 173, 8.3e6, 66.5),
        "Iterative pruning": (0.0, 10.3e6, 8, 5, 8.2e6, 67, 17.8e6, 31),
        "Binary quant.": (2.2, 138e6, 1, 1, 17.3e6, 32, 17.3e6, 32),
        "Ternary quant.": (1.1, 138e6, 2, 2, 34.5e6, 16, 34.5e6, 16),
    },
    "resnet50": {
        "Original ResNet-50": (0.0, 25.6e6, 32, 32, 102.4e6, 1, 102.4e6, 1),
        "Our Method, 6 bits": (0.0, 3.6e6, 6, 6, 2.7e6, 38, 4.1e6, 25.3),
        "Our Method, 4 bits": (2.0, 1.47e6, 4, 4, 0.73e6, 140, 1.65e6, 62),
    },
}

# Table 7, AlexNet: weights before and after pruning.
TABLE_7: dict[str, tuple[float, float]] = {
    "conv1": (34.8e3, 28.19e3),
    "conv2": (307.2e3, 61.44e3),
    "conv3": (884.7e3, 168.09e3),
    "conv4": (663.5e3, 132.7e3),
    "conv5": (442.4e3, 88.48e3),
    "fc1": (37.7e6, 1.06e6),
    "fc2": (16.8e6, 0.99e6),
    "fc3": (4.1e6, 0.38e6),
    "total": (60.9e6, 2.9e6),
}

# Table 9: speedup of CONV1..CONV5, of CONV1-5, prune ratio of CONV1-5, accuracy loss in %.
TABLE_9: dict[str, tuple[float, ...]] = {
    "AlexNet": (1, 1, 1, 1, 1, 1, 1, 0.0),
    "Ours1": (1, 7, 7.5, 7.2, 7.1, 3.6, 13.1, 0.0),
    "Ours2": (1, 8.6, 9.0, 8.8, 8.6, 3.9, 25.5, 1.5),
    "Han": (0.16, 1.4, 1.6, 1.5, 1.5, 0.64, 2.7, 0.0),
    "Mao": (0.17, 2.6, 3, 3, 3, 0.81, 4.1, 0.0),
    "Wen": (0.15, 2.9, 4.6, 3.8, 2.9, 0.77, 5, 0.0),
}


def same_data(results: Results) -> bool:
    """Whether a run's accuracy may stand beside the paper's: MNIST for LeNet-5, else ImageNet.

    A data set that is not what its network was made for says so in its note.
    """
    return results.network == "lenet5" or not results.dataset.note
