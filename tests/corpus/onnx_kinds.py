"""Small ONNX classifiers, one for each kind of thing that exporters, converters and people write.

Most are `Net.body`, two convolutions with pooling, with one thing changed; images are 1 x 12 x 12,
and weights are by a seed. `KINDS` has what must become of each.
"""

from onnx_ends import FIRST, HEADS, LAYOUTS
from onnx_layers import JOINS, LAYERS, MOVED, POOLS
from onnx_networks import NETWORKS
from onnx_numbers import ACTS, WEIGHTS
from onnx_storage import STORED

FAMILIES = {
    "network": NETWORKS,
    "layout": LAYOUTS,
    "output": HEADS,
    "input": FIRST,
    "layer": LAYERS,
    "pool": POOLS,
    "moved": MOVED,
    "activation": ACTS,
    "join": JOINS,
    "weights": WEIGHTS,
    "stored": STORED,
}
KINDS = {
    f"{family}, {name}": kind for family, kinds in FAMILIES.items() for name, kind in kinds.items()
}
"""All of them, by a name that says what is so about them."""
