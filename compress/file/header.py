"""The header of `model.cosign`: the network without weights, in as few bytes as it allows.

What follows from the rest is not written: names that count up, inputs that are the node before,
sizes of maps, scales handed on, requantisation constants. docs/format.md has the layout.
"""

from dataclasses import dataclass, field

from compress.file import layouts, limits
from compress.file.fields import FieldReader, FieldWriter
from compress.file.filters import UNIFORM, Filters, requantised
from compress.file.packing import CODINGS, PARAMETERS, LayerHead, Packed
from compress.model import activations
from compress.model.graph import (
    CompressedModel,
    Geometry,
    InputSpec,
    Layer,
    Node,
    finest_scale,
)
from compress.model.hostops import (
    REAL_ATTRIBUTES,
    SCALE_KEEPING,
    HostOp,
    Shape,
    attribute_names,
)
from cosign import CosignError

_OPS: tuple[str, ...] = (
    *("conv", "linear", "maxpool", "avgpool", "lrn", "flatten", "add", "concat", "relu"),
    *("function", "take", "permute", "mul"),  # from schema 5 on
)
_OPS_OF_4 = _OPS[:9]
_PREFIX = {"linear": "fc", "maxpool": "pool", "avgpool": "pool", "lrn": "norm"}
_NAMED, _WIRED, _RELU, _SHAPED = 16, 32, 64, 128  # flags of a node's first byte
_TILED = _RELU  # of a pooling, which has no ReLU
_WINDOW = ("stride", "padding", "end")  # of a pooling
# Of a pooling that has _SHAPED set; otherwise they follow from the others.
_SIDES = ("dilation", "kernel1", "stride1", "padding1", "end1", "dilation1")
_SCALED, _REQUANTISED = 64, 128  # flags of a layer's second byte


@dataclass
class Known:
    """What the nodes so far say; the next node's defaults follow from it."""

    input: InputSpec
    last: str = "input"
    shapes: dict[str, Shape] = field(default_factory=dict)
    scales: dict[str, float | None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes["input"] = self.input.shape
        self.scales["input"] = self.input.scale

    def default_name(self, op: str) -> str:
        """flatten, conv1, conv2, fc1...: the kind and how many of it there are."""
        prefix = _PREFIX.get(op, op)
        number = self.counts.get(prefix, 0) + 1
        return prefix if op == "flatten" and number == 1 else f"{prefix}{number}"

    def add(self, node: Layer | LayerHead | HostOp) -> None:
        op = node.op if isinstance(node, HostOp) else node.geometry.kind
        prefix = _PREFIX.get(op, op)
        self.counts[prefix] = self.counts.get(prefix, 0) + 1
        if isinstance(node, HostOp):
            self.shapes[node.name] = node.output_shape([self.shapes[name] for name in node.inputs])
            scale = node.attrs.get("out_scale")
            if node.op in SCALE_KEEPING:
                scale = self.scales[node.inputs[0]]
            self.scales[node.name] = scale
        else:
            g = node.geometry
            self.shapes[node.name] = (g.out_channels, g.out_height, g.out_width)
            self.scales[node.name] = node.out_scale
        self.last = node.name


def schema(model: CompressedModel) -> int:
    """The oldest that can say it: 4, 5 with operations or outputs that 4 has not, 6 with layers
    whose filters differ in their scales, or 7 with activations of other than 8 bits."""

    def new(node: HostOp) -> bool:
        broadcast = len({model.shapes[name] for name in node.inputs}) > 1
        return node.op not in _OPS_OF_4 or _is_shaped(node) or (node.op == "add" and broadcast)

    if model.act_bits != activations.MOST:
        return 7
    if not all(layer.uniform for layer in model.layers):
        return 6
    last = tuple(node.name for node in model.nodes[-1:])
    newer = any(isinstance(node, HostOp) and new(node) for node in model.nodes)
    return 5 if newer or model.outputs != last else 4


def write(model: CompressedModel, packed: dict[str, Packed]) -> bytes:
    """The header of a model whose layers are packed like this."""
    out, known = FieldWriter(), Known(model.input)
    source, version = model.input, schema(model)
    out.text(model.name)
    if version > 6:
        out.whole(model.act_bits)
    for size in source.shape:
        out.whole(size)
    for value in (*source.mean, *source.std):
        out.real(value)
    finest = finest_scale(source.mean, source.std, source.act_bits)
    out.real(0.0 if source.scale == finest else source.scale)
    out.whole(len(model.nodes))
    for node in model.nodes:
        _write_node(out, node, known, packed, version)
        known.add(node)
    if version > 4:
        order = [node.name for node in model.nodes]
        out.whole(len(model.outputs))
        for output in model.outputs:
            out.whole(order.index(output))
    return bytes(out.data)


def read(
    data: bytes, schema: int
) -> tuple[str, InputSpec, list[LayerHead | HostOp], tuple[str, ...]]:
    """(name of the network, its input, its nodes, its outputs)."""
    fields = FieldReader(data)
    name = fields.text()
    act_bits = activations.MOST
    if schema > 6:
        act_bits = fields.whole()
        if not activations.FEWEST <= act_bits < activations.MOST:
            raise CosignError(
                f"its activations have {act_bits} bits, must have {activations.FEWEST} to "
                f"{activations.MOST - 1} in schema {schema}"
            )
    shape = (fields.whole(), fields.whole(), fields.whole())
    mean = tuple(fields.real() for _ in range(shape[0]))
    std = tuple(fields.real() for _ in range(shape[0]))
    scale = fields.real() or finest_scale(mean, std, act_bits)
    source = InputSpec(shape, scale, mean, std, act_bits)
    known, nodes = Known(source), []
    count = fields.whole()
    if not 1 <= count <= limits.MOST_NODES:
        raise CosignError(f"the network has {count:,} nodes, must have 1 to {limits.MOST_NODES:,}")
    for _ in range(count):
        nodes.append(_read_node(fields, known, schema))
        known.add(nodes[-1])
    limits.check_maps(known.shapes.values())
    outputs: tuple[str, ...] = ()
    if schema > 4:
        outputs = tuple(nodes[number].name for number in fields.counted(len(nodes)))
    if fields.position != len(data):
        raise CosignError("the header holds more than its nodes")
    return name, source, nodes, outputs


def _write_node(
    out: FieldWriter, node: Node, known: Known, packed: dict[str, Packed], version: int
) -> None:
    layer = node if isinstance(node, Layer) else None
    op = layer.geometry.kind if layer else node.op  # type: ignore[union-attr]
    named = node.name != known.default_name(op)
    wired = node.inputs != (known.last,)
    shaped = not _is_plain(layer.geometry) if layer else _is_shaped(node)  # type: ignore[arg-type]
    relu = layer is not None and layer.relu
    tiled = isinstance(node, HostOp) and _is_tiled(node)
    out.data.append(
        _OPS.index(op)
        | _NAMED * named
        | _WIRED * wired
        | _RELU * relu
        | _TILED * tiled
        | _SHAPED * shaped
    )
    if named:
        out.text(node.name)
    if wired:
        out.whole(len(node.inputs))
        order = list(known.shapes)
        for source in node.inputs:
            out.whole(len(order) - 1 - order.index(source))
    if layer:
        _write_layer(out, layer, known, packed[layer.name], shaped, version)
    else:
        assert isinstance(node, HostOp)
        for key in attribute_names(node.op, len(node.inputs)):
            if key in REAL_ATTRIBUTES:
                out.real(node.attrs[key])
            elif not (tiled and key in _WINDOW) and (shaped or key not in _SIDES):
                out.whole(int(node.attrs[key]))
        layouts.write(out, node)


def _is_shaped(node: HostOp) -> bool:
    """Whether it pools a window that is not square, or dilated, or the whole of an axis."""
    if node.op not in ("maxpool", "avgpool"):
        return False
    plain = {"dilation": 1} | {f"{key}1": node.attrs[key] for key in ("kernel", *_WINDOW)}
    whole = node.op == "maxpool" and not node.attrs["kernel"]
    return whole or any(node.attrs[key] != plain.get(key, 1) for key in _SIDES)


def _is_tiled(node: HostOp) -> bool:
    """Whether it pools windows that lie side by side, without padding."""
    return node.op in ("maxpool", "avgpool") and (
        tuple(node.attrs[key] for key in _WINDOW) == (node.attrs["kernel"], 0, 0)
    )


def _is_plain(geometry: Geometry) -> bool:
    """Whether stride, padding, dilation and groups are the default ones and the kernel is square.

    Without its padding such a geometry may be impossible, so that it is not made to be compared.
    """
    g = geometry
    return (
        g.kernel[0] == g.kernel[1]
        and (g.kind == "conv" or g.kernel == (1, 1))
        and (g.stride, g.padding, g.dilation, g.groups) == ((1, 1), (0, 0), (1, 1), 1)
    )


def _geometry(kind: str, shape: Shape, out_channels: int, kernel: int) -> Geometry:
    channels, height, width = shape
    return Geometry(kind, channels, out_channels, height, width, (kernel, kernel))  # type: ignore[arg-type]


def _write_layer(
    out: FieldWriter, layer: Layer, known: Known, packed: Packed, shaped: bool, version: int
) -> None:
    g, each = layer.geometry, packed.filters
    scaled = layer.in_scale != known.scales[layer.input]
    stored = not each.requantised and requantised(layer)
    out.data.append(
        layer.bits - 1
        | CODINGS.index(packed.coding) << 3
        | _SCALED * scaled
        | _REQUANTISED * stored
    )
    if version > 5:
        each.write(out)
    out.whole(g.out_channels)
    if shaped:
        for pair in (g.kernel, g.stride, g.padding, g.dilation):
            out.whole(pair[0])
            out.whole(pair[1])
        out.whole(g.groups)
    elif g.kind == "conv":
        out.whole(g.kernel[0])
    if not each.mantissa:
        out.real(float(layer.q[0]))
    out.real(layer.out_scale)
    if scaled:
        out.real(layer.in_scale)
    if stored:
        out.whole(int(layer.mul[0]))
        out.whole(int(layer.shift[0]))
    for value in packed.parameters:
        out.whole(value)


def _read_node(fields: FieldReader, known: Known, schema: int) -> LayerHead | HostOp:
    flags = fields.raw(1)[0]
    if flags & 15 >= len(_OPS):
        raise CosignError(f"operation {flags & 15} is unknown")
    op = _OPS[flags & 15]
    name = fields.text() if flags & _NAMED else known.default_name(op)
    inputs: tuple[str, ...] = (known.last,)
    if flags & _WIRED:
        order = list(known.shapes)[::-1]
        inputs = tuple(order[number] for number in fields.counted(limits.MOST_INPUTS))
    if op in ("conv", "linear"):
        return _read_layer(fields, known, op, name, inputs[0], flags, schema)
    attrs: dict[str, float] = {}
    for key in attribute_names(op, len(inputs)):  # type: ignore[arg-type]
        if flags & _TILED and key in _WINDOW:
            attrs[key] = attrs["kernel"] if key == "stride" else 0
        elif flags & _SHAPED or key not in _SIDES:
            attrs[key] = fields.real() if key in REAL_ATTRIBUTES else fields.whole()
    act_bits = known.input.act_bits
    table, layout = layouts.read(fields, op, known.shapes[inputs[0]], act_bits)
    return HostOp(name, op, inputs, attrs, table, layout, act_bits)  # type: ignore[arg-type]


def _read_layer(
    fields: FieldReader, known: Known, kind: str, name: str, source: str, flags: int, schema: int
) -> LayerHead:
    more = fields.raw(1)[0]
    if more >> 3 & 7 >= len(CODINGS):
        raise CosignError(f"coding {more >> 3 & 7} is unknown")
    coding = CODINGS[more >> 3 & 7]
    filters = Filters.read(fields) if schema > 5 else UNIFORM
    out_channels = fields.whole()
    if flags & _SHAPED:
        kernel, stride, padding, dilation = ((fields.whole(), fields.whole()) for _ in range(4))
        channels, height, width = known.shapes[source]
        geometry = Geometry(
            kind,  # type: ignore[arg-type]
            channels,
            out_channels,
            height,
            width,
            kernel,
            stride,
            padding,
            dilation,
            fields.whole(),
        )
    else:
        kernel_size = fields.whole() if kind == "conv" else 1
        geometry = _geometry(kind, known.shapes[source], out_channels, kernel_size)
    limits.check_geometry(geometry)
    filters.check(out_channels)
    q = None if filters.mantissa else fields.real()
    out_scale = fields.real()
    in_scale = fields.real() if more & _SCALED else known.scales[source]
    if in_scale is None:
        raise CosignError(f"layer {name!r} has no input scale")
    mul, shift = (fields.whole(), fields.whole()) if more & _REQUANTISED else (None, None)
    return LayerHead(
        name,
        source,
        geometry,
        (more & 7) + 1,
        q,
        mul,
        shift,
        bool(flags & _RELU),
        in_scale,
        out_scale,
        coding,
        tuple(fields.whole() for _ in range(PARAMETERS[coding])),
        filters,
        known.input.act_bits,
    )
