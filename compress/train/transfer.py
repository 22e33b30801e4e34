"""Where training begins with the trained layers of another task: its classifier is new."""

import torch

from compress.data.datasets import Dataset
from compress.data.pixels import some_images
from compress.model.pretrained import Features
from compress.nn.network import Network, scale_to_data
from compress.zoo.recipe import Recipe

_IMAGES = 48


@torch.no_grad()
def begin(recipe: Recipe, features: Features, dataset: Dataset, seed: int) -> Network:
    """The recipe's network with these layers; the one behind them is random, scaled to the data."""
    torch.manual_seed(seed)
    network = Network(recipe.architecture).eval()
    for name, weight in features.weights.items():
        network.weights[name].copy_(torch.from_numpy(weight))
        network.biases[name].copy_(torch.from_numpy(features.biases[name]))
    (images,) = some_images(dataset, _IMAGES, _IMAGES)
    scale_to_data(network, images, network.weights.keys() - features.weights.keys())
    return network
