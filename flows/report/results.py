"""results.json, schema 3: what a run measured, as a documented value.

`flows.loop.assemble` puts it together; terminal, report and comparison read it from here. All
figures are exact: accuracies and shares are fractions, nothing is rounded.
"""

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta, field

from cosign import values
from cosign.values import Amount, Count, Positive, Ratio, Share, Value
from flows.report.allocation import Allocation
from flows.report.rounds import Feedback
from synth.breakeven import Curve

SCHEMA = 3
READ = (1, 2, SCHEMA)
"""Schemas that can be read. 1 names no version of its writer; early files of it lack what has a
default here. Up to 2 every run trained, and had an accuracy."""

Bits = Annotated[int, Meta(ge=1, le=8)]
N = TypeVar("N")


class Data(Value, frozen=True, kw_only=True):
    """The data set.

    Parameters
    ----------
    name : of the set
    note : a remark or a warning, such as "not ImageNet"; may be empty
    classes : number of classes; 0 of images without labels
    train, val, test : images in each split; of a run without training, `train` are those that it
        calibrates on
    """

    name: str
    note: str
    classes: Count
    train: Count
    val: Count
    test: Count


class Accuracy(Value, frozen=True, kw_only=True):
    """Top-1 on the whole test split.

    Parameters
    ----------
    dense : of the float network before pruning
    pruned : of the float network after the feedback, before quantisation; null without training,
        where layers are pruned and quantised at once
    integer : of the golden model on model.cosign, which is what the RTL computes
    standard_error : of `integer`, as other images would give it; early files don't tell
    """

    dense: Share
    pruned: Share | None = None
    integer: Share
    standard_error: Amount | None = None


class OutputError(Value, frozen=True, kw_only=True):
    """An output of the integers beside that of the float network.

    Parameters
    ----------
    name : as the network's file calls it
    relative_rms_error : sqrt(sum((y - y_int)²) / sum(y²)); null where the float one is all zero
    """

    name: str
    relative_rms_error: Amount | None


class Fidelity(Value, frozen=True, kw_only=True):
    """How near the outputs are to those of the float network, on images of the test split.

    Parameters
    ----------
    images : looked at
    outputs : of the network
    """

    images: Count
    outputs: tuple[OutputError, ...]


class Compression(Value, frozen=True, kw_only=True):
    """The whole network in model.cosign.

    Parameters
    ----------
    weights : of the dense network
    nonzeros : weights that are stored
    pruning_ratio : weights over stored ones
    weight_bits_mean : bits of a stored weight
    data_bytes, index_bytes, bias_bytes : of the levels, of what says where they are, of the biases
    file_bytes : everything
    """

    weights: Count
    nonzeros: Count
    pruning_ratio: Ratio
    weight_bits_mean: Amount
    data_bytes: Count
    index_bytes: Count
    bias_bytes: Count
    file_bytes: Count


class ByCore(Value, Generic[N], frozen=True, kw_only=True):
    """A figure of each of three cores.

    Parameters
    ----------
    sparse : executes the network
    dense : the two-dimensional dense core
    dense_scalar : has as many multipliers as `sparse`
    """

    sparse: N
    dense: N
    dense_scalar: N


class Layer(Value, frozen=True, kw_only=True):
    """A layer in the file and on the cores.

    Linear layers compute a batch of images together; all figures are of one image. Earlier versions
    left the linear layers of large networks outside the machine: what is null there is so in their
    files alone.

    Parameters
    ----------
    name : of the layer
    kind : conv or linear
    macs : multiplications of the dense layer
    weights, nonzeros : of the dense layer, and stored
    pruning_ratio : weights over stored ones
    bits : of a stored weight
    index_coding : of the file, the packer's choice
    index_bits : width of an index; 0 where the coding has none
    data_bytes, index_bytes, bias_bytes : in the file
    batch : images that were computed together, 1 for a convolution; early files don't tell
    cycles : clock cycles; null outside the machine
    busy : share of multipliers times cycles in which a weight is multiplied; null outside the
        machine
    useful : the same of weights that were kept
    speedup : time on the dense core over time on a sparse core of no larger area, each at its own
        Fmax; null outside the machine, and when no sparse core is as small
    speedup_equal_pes : cycles times clock period of `dense_scalar` over those of `sparse`; null
        outside the machine
    break_even : pruning ratio from which this chip's sparse core wins on this layer's shape, as in
        profile.json; null when never, and outside the machine
    decision : sparse; dense when pruned less than break-even; host outside the machine
    verified : whether the RTL executed the layer in this run
    """

    name: str
    kind: Literal["conv", "linear"]
    macs: Count
    weights: Count
    nonzeros: Count
    pruning_ratio: Ratio
    bits: Bits
    index_coding: str
    index_bits: Count
    data_bytes: Count = 0
    index_bytes: Count = 0
    bias_bytes: Count = 0
    batch: Count | None = None
    cycles: ByCore[Positive] | None
    busy: ByCore[Share] | None = None
    useful: ByCore[Share] | None = None
    speedup: Positive | None
    speedup_equal_pes: Positive | None
    break_even: Ratio | None
    decision: Literal["sparse", "dense", "host"]
    verified: bool


class Core(Value, frozen=True, kw_only=True):
    """A core of the chip, as Yosys and OpenSTA measured it.

    Parameters
    ----------
    name, core : its name, and its kind
    lanes, filters : output pixels and filters computed at once
    multipliers : those of lockstep tiles and of several streams counted; early files have none
    config_hash : of its CoreConfig
    logic_um2 : area without memories
    area_um2 : area with memories under `sram_model`
    area_by_purpose_um2 : the same, by what it is for
    fmax_hz : its clock
    critical_path : its slowest path, in words
    blocks_um2 : `logic_um2` by block
    """

    name: str
    core: str
    lanes: Count
    filters: Count
    multipliers: Count | None = None
    config_hash: str
    logic_um2: Positive
    area_um2: Positive
    area_by_purpose_um2: dict[str, Amount]
    fmax_hz: Positive
    critical_path: str
    blocks_um2: dict[str, Amount] = field(default_factory=dict)


class Hardware(Value, frozen=True, kw_only=True):
    """The cores, and where sparse ones begin to win.

    Parameters
    ----------
    pdk : cell library
    sram_model : of the headline figures
    multipliers : of the cores that `layers` tell of
    cores : of the chip, the dense one that sparse ones are compared with first
    break_even : pruning ratio from which sparse hardware made for `break_even_layer` wins over
        dense hardware made for it (§5.1); null when never
    break_even_layer : CONV4 of the paper, else the layer with the most work
    curves : Fig. 4 of that layer, the headline's first
    """

    pdk: str
    sram_model: str
    multipliers: ByCore[Count] | None = None
    cores: tuple[Core, ...]
    break_even: Ratio | None
    break_even_layer: str
    curves: tuple[Curve, ...]

    @property
    def dense(self) -> Core:
        """The rival of `layers` and of break-even."""
        return self.cores[0]


class Verification(Value, frozen=True, kw_only=True):
    """What the RTL computed, compared value by value with the golden model.

    Parameters
    ----------
    images : of which convolutions were executed; of linear layers, as many whole batches
    cores : that executed them
    layers : executed on each
    values_compared, mismatches : outputs, on all cores together
    cycle_counts_compared, cycle_mismatches : cycles of the RTL against the cycle model's
    """

    images: Count
    cores: tuple[str, ...]
    layers: Count
    values_compared: Count
    mismatches: Count
    cycle_counts_compared: Count
    cycle_mismatches: Count


class EnergyOfLayer(Value, frozen=True, kw_only=True):
    """A layer on a core, one image.

    Parameters
    ----------
    layer, core : their names
    energy_nj : by part of the core
    total_nj : their sum
    pj_per_dense_mac : the sum over the multiplications of the dense layer
    """

    layer: str
    core: str
    energy_nj: dict[str, Amount]
    total_nj: Amount
    pj_per_dense_mac: Amount


class Energy(Value, frozen=True, kw_only=True):
    """What `cosign energy` measured of this very model.

    Parameters
    ----------
    method : in words
    per_image : nJ of the measured layers together, by core and part
    layers : by layer and core
    """

    method: str
    per_image: dict[str, dict[str, Amount]]
    layers: tuple[EnergyOfLayer, ...]


class Table9(Value, frozen=True, kw_only=True):
    """Our row of the paper's Table 9: the same number of multipliers, each core at its own Fmax.

    Parameters
    ----------
    speedup : of CONV1 to CONV5
    speedup_conv, prune_ratio_conv : of the five together
    accuracy_loss : dense less integer accuracy
    """

    speedup: tuple[Positive, ...]
    speedup_conv: Positive
    prune_ratio_conv: Ratio
    accuracy_loss: float


class Iteration(Value, frozen=True, kw_only=True):
    """An ADMM iteration.

    Parameters
    ----------
    loss : mean since the last iteration
    accuracy : on the validation split
    distance : ‖W−Z‖ by layer
    change : ‖Z−Z_prev‖ by layer
    """

    loss: float
    accuracy: Share
    distance: dict[str, Amount]
    change: dict[str, Amount] = field(default_factory=dict)


class Results(Value, frozen=True, kw_only=True):
    """A run.

    Parameters
    ----------
    network : what ran
    command : the command line that repeats it; its `--cores cores.toml`, where the cores are not
        the default ones, is the file in the run directory
    dataset : what it learned from and was tested on
    method : admm trained; oneshot pruned on calibration images alone
    accuracy : on the test split, which is looked at once; null without labels
    fidelity : of the outputs, on the same images; null of a run that trained
    compression : of the network
    layers : in the order of the network
    hardware : measured cores, and break-even
    feedback : from hardware to pruning; null of a run without training, or by an N:M pattern
    allocation : densities by layer within a budget; null of a run that trained
    verification : of the RTL
    energy : null unless it was measured before the report was written ([energy.md](energy.md))
    table_9 : of AlexNet; null for other networks
    admm : iterations of the stages prune and quantize; none of a run without training
    remarks : how the figures were obtained, in sentences
    provenance : versions, seed, PDK with SHA-256, hashes of recipe and cores, machine
    wall_s : seconds of each stage, in the process that finished it
    """

    network: str
    command: str
    dataset: Data
    method: Literal["admm", "oneshot"] = "admm"
    accuracy: Accuracy | None
    fidelity: Fidelity | None = None
    compression: Compression
    layers: tuple[Layer, ...]
    hardware: Hardware
    feedback: Feedback | None = None
    allocation: Allocation | None = None
    verification: Verification
    energy: Energy | None = None
    table_9: Table9 | None
    admm: dict[str, tuple[Iteration, ...]]
    remarks: tuple[str, ...]
    provenance: dict[str, str | int]
    wall_s: dict[str, Amount]

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Raises CosignError when the file is missing, damaged or of another schema."""
        return values.read(path, cls, READ, "give the results.json of a finished run")

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return values.stamped(self, SCHEMA)
