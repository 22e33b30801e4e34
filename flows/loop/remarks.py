"""What stands beside a run's figures, in words: how they came about, and what they leave out."""

from collections.abc import Sequence

from compress.model.graph import CompressedModel
from compress.zoo.networks import FEATURES
from flows.loop.rundir import RunConfig
from flows.report import results, tables
from rtl.config import CoreConfig
from synth.place.options import NOTE
from synth.profile import HardwareProfile


def begun(config: RunConfig) -> tuple[str, ...]:
    """What is to be said of layers that were trained elsewhere."""
    if not config.learns_classifier:
        return ()
    if config.weights != FEATURES:
        return (f"Training began with the layers of {config.weights} and a new classifier.",)
    return (
        "Training began with convolutions of ImageNet and a new classifier: photographs of "
        "ImageNet, its classes too, are no news to them.",
    )


def of_run(
    config: RunConfig,
    layers: Sequence[results.Layer],
    model: CompressedModel,
    about: results.Data,
    profile: HardwareProfile,
) -> tuple[str, ...]:
    """What is to be said of the figures of any run."""
    dead = sum(layer.dead for layer in model.layers)
    filters = sum(layer.geometry.out_channels for layer in model.layers)
    how = (
        "Nothing was trained: layers are pruned and quantised so that their answers on "
        f"{about.train:,} calibration images stay those of the float network."
    )
    if config.finetune is not None:
        how = (
            f"Layers are pruned and quantised so that their answers on {about.train:,} calibration "
            "images stay those of the float network; between the two the network learned its "
            f"answers to images without labels, for {config.finetune:g} nominal minutes."
        )
    training = [
        f"{how} What is expected of other densities is each layer's own error there, brought to "
        "the change of the network's outputs that was measured with this layer alone pruned by a "
        "half and by four fifths."
    ]
    said = [
        *(training if config.method == "oneshot" else []),
        *(_patterned(config.pattern) if config.pattern is not None else []),
        "Accuracies are top-1 on the whole test split; the integer model is what the RTL computes.",
        "Cycles were counted by the RTL of the sparse and the two-dimensional dense core; those of "
        "the scalar dense core come from the cycle model, which tests hold equal to the RTL.",
        f"{dead:,} of {filters:,} filters and neurons have no weight left. Non-zeros are those of "
        "the file, without weights that training kept but that make no difference to the outputs.",
        "Area is of the mapped and sized netlist before placement; Fmax assumes an ideal clock. "
        "Wires are estimated by fan-out."
        if config.place is None
        else f"Area and Fmax are of placed netlists, buffered and sized for their wires: {NOTE}.",
        "Composed SRAM counts the macros and the gates that select between them; not the wires.",
        *(
            f"Break-even on {curve.layer}, weights {curve.weights}, SRAM {curve.sram_model}: "
            f"{tables.times(curve.break_even_ratio)}, {curve.note}."
            for curve in profile.curves
        ),
    ]
    if config.act_bits != CoreConfig.act_bits:
        said.append(
            f"Activations have {config.act_bits} bits, and so have all cores that are compared."
        )
    for name, words in (("licence", "PDK licence"), ("notes", "Cell library")):
        if name in profile.provenance["pdk"]:
            said.append(f"{words}: {profile.provenance['pdk'][name].rstrip('.')}.")
    if config.area_um2 is None:
        said.append(
            f"Speedups and break-even are against {config.cores.dense.name}, one dense core. The "
            "fastest one of its area can be faster: `cosign frontier` finds that, and --area "
            "compares with it."
        )
    else:
        said.append(
            "Of the cores, the fastest dense and the fastest sparse one of at most "
            f"{config.area_um2 / 1e6:.4g} mm² are compared (--area), memories included; curves are "
            "of hardware for one layer, of the dense core's area."
        )
    if about.note:
        said.insert(0, f"The data are {about.name}: {about.note}.")
    if any(layer.kind == "linear" for layer in layers):
        said.append(
            f"Linear layers compute {config.batch} images together, their weights streamed once "
            "for all of them; cycles and speedup are of one image."
        )
    return tuple(said)


def _patterned(pattern: str) -> tuple[str, ...]:
    return (
        f"Weights obey the pattern {pattern}. Break-even ratios have no part in it: no layer is "
        "restored, none pruned further. The cores are those for weights at any place, which gain "
        "nothing by a pattern.",
    )
