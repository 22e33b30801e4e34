"""A layer as a core's program: the words of its streams, and its descriptor. Plain numpy, no gates.

- `pack.pack_layer`: a layer compiled for a core, or one sentence why it does not fit
- `layout.Layout`: where a layer's activations lie in the memory, and `stripes` when they don't fit
- `encode.encode`: the weight stream of each kind of core; `encode.work`: what it costs
- `fields.check_fields`: what a descriptor cannot tell the core is refused
- `fit.fit`: the smallest memories with which a core holds given layers
"""
