"""Figures of the paper that our tables stand beside (Ren et al., ASPLOS 2019)."""

BREAK_EVEN_RATIO = 2.22  # §5.1, Fig. 4: CONV4 of AlexNet, SMIC 40 nm

CONV_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")

# Table 8: bits of the weights of CONV1..CONV5, from "MAC x bits" over "MAC Operations"; the
# operations themselves are TABLE_8 of compress.networks.
TABLE_8_BITS: dict[str, tuple[int, ...]] = {"ours1": (7, 5, 5, 5, 5), "han": (8, 8, 8, 8, 8)}

# Table 9: speedup of CONV1..CONV5, of CONV1-5, prune ratio of CONV1-5, accuracy loss in %.
TABLE_9: dict[str, tuple[float, ...]] = {
    "AlexNet": (1, 1, 1, 1, 1, 1, 1, 0.0),
    "Ours1": (1, 7, 7.5, 7.2, 7.1, 3.6, 13.1, 0.0),
    "Ours2": (1, 8.6, 9.0, 8.8, 8.6, 3.9, 25.5, 1.5),
    "Han": (0.16, 1.4, 1.6, 1.5, 1.5, 0.64, 2.7, 0.0),
    "Mao": (0.17, 2.6, 3, 3, 3, 0.81, 4.1, 0.0),
    "Wen": (0.15, 2.9, 4.6, 3.8, 2.9, 0.77, 5, 0.0),
}
