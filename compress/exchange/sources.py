"""Networks that come with weights: an ONNX file, a function that returns a torch module, or a
built-in network and a file of weights."""

import importlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten_with_path

from compress.exchange import state_dicts, theirs
from compress.exchange.onnx import reader
from compress.model.hostops import Shape
from compress.model.pretrained import Pretrained
from compress.zoo.networks import is_onnx
from cosign import CosignError, scratch

_SIDE = {1: 28, 3: 224}  # pixels of images of so many channels, where the module does not say
_OPSET = 17


def load(network: str, weights: str | None = None, outputs: Sequence[str] = ()) -> Pretrained:
    """The network of `model.onnx` or `package.module:factory` with its weights, or a built-in one
    with those of a file, batch normalisation folded.

    weights : of a built-in network, as `state_dicts.load_weights` reads them, or "imagenet", which
        fetches them
    outputs : of a network of one's own, by their names in the file, or values inside it; () is all

    A factory takes no arguments and returns a torch.nn.Module; the module's attribute
    `input_shape` (C, H, W) says what it reads, else it is 1 x 28 x 28 or 3 x 224 x 224 by the
    channels of its first convolution. Its outputs are called by the keys of the dict that it
    returns, or output, output.0, output.1... Raises CosignError on what cannot be read.
    """
    if weights is not None:
        return _with_weights(network, state_dicts.find(network, weights))
    if is_onnx(network):
        return reader.read(Path(network), outputs)
    with theirs.first(Path.cwd(), network.partition(":")[0]):
        blob = _traced(network, _build(network))
    name = network.rpartition(":")[2].replace(".", "-")
    return reader.from_bytes(blob, name, network, outputs)


def _traced(network: str, module: nn.Module) -> bytes:
    """A torch module as an ONNX file, which only one importer then has to understand."""
    shape = _input_shape(network, module)
    _name_lrn(module)
    with scratch("module") as folder, warnings.catch_warnings():
        path = folder / "module.onnx"
        warnings.simplefilter("ignore")
        try:
            images = torch.zeros(1, *shape)
            with torch.no_grad():
                returned = module.eval()(images)
            # PRESERVE keeps BatchNorm and the names of weights.
            torch.onnx.export(
                module,
                (images,),
                path,
                opset_version=_OPSET,
                training=torch.onnx.TrainingMode.PRESERVE,
                dynamo=False,
                output_names=_output_names(returned),
            )
        except (Exception, SystemExit) as error:  # tracing runs the module's own code
            raise CosignError(
                f"{network} does not compute an image of {' x '.join(map(str, shape))} "
                f"({_first_line(error)}); set its attribute input_shape, or export it to ONNX "
                "yourself."
            ) from error
        return path.read_bytes()


def _with_weights(network: str, path: Path) -> Pretrained:
    ready, pixels = state_dicts.load(network, path)
    weights, biases = (
        {name: parameter.detach().numpy() for name, parameter in parameters.items()}
        for parameters in (ready.weights, ready.biases)
    )
    return Pretrained(ready.spec, weights, biases, pixels)


def _output_names(returned: Any) -> list[str]:
    """Of each tensor in what a module returns, its keys and places there."""
    names = []
    for path, leaf in tree_flatten_with_path(returned)[0]:
        if isinstance(leaf, Tensor):
            parts = [str(getattr(step, "key", getattr(step, "idx", step))) for step in path]
            named = parts and not parts[0].isdigit()
            names.append(".".join(parts if named else ["output", *parts]))
    return names


class _LrnFunction(torch.autograd.Function):
    """ONNX's LRN, whose windows of even size reach one channel further behind, torch's before."""

    @staticmethod
    def symbolic(g: Any, x: Any, size: int, alpha: float, beta: float, k: float) -> Any:
        return g.op("LRN", x, size_i=size, alpha_f=alpha, beta_f=beta, bias_f=k)

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        return _turned(
            nn.functional.local_response_norm(_turned(x, size), size, alpha, beta, k), size
        )


def _turned(x: Tensor, size: int) -> Tensor:
    """With the last channel first where windows of `size` have no middle."""
    return x if size % 2 else x.flip(1)


class _Lrn(nn.Module):
    """Local response normalisation that is traced as one node, where torch's is a dozen."""

    def __init__(self, lrn: nn.LocalResponseNorm) -> None:
        super().__init__()
        self.attributes = (lrn.size, lrn.alpha, lrn.beta, lrn.k)

    def forward(self, x: Tensor) -> Any:
        size = self.attributes[0]
        return _turned(_LrnFunction.apply(_turned(x, size), *self.attributes), size)


def _name_lrn(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.LocalResponseNorm):
            setattr(module, name, _Lrn(child))
        else:
            _name_lrn(child)


def _build(network: str) -> nn.Module:
    """Call the factory."""
    name, _, factory = network.partition(":")
    try:
        function = getattr(importlib.import_module(name), factory)
        torch.manual_seed(0)  # weights that the factory leaves to chance are always the same
        module = function()
    except (Exception, SystemExit) as error:  # whatever the module does
        raise CosignError(
            f"{network} cannot be called ({type(error).__name__}: {_first_line(error)}); give "
            "package.module:factory, a function without arguments that returns a torch module."
        ) from error
    if not isinstance(module, nn.Module):
        raise CosignError(
            f"{network} returns a {type(module).__name__}, must return a torch.nn.Module."
        )
    return module


def _input_shape(network: str, module: nn.Module) -> Shape:
    shape = getattr(module, "input_shape", None)
    if shape is None:
        first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
        if first is None or first.in_channels not in _SIDE:
            raise CosignError(
                f"{network}: what it reads is unknown; set the module's attribute input_shape to "
                "(channels, height, width)."
            )
        side = _SIDE[first.in_channels]
        return first.in_channels, side, side
    try:
        channels, height, width = (int(length) for length in shape)
    except (TypeError, ValueError) as error:
        raise CosignError(
            f"{network}: input_shape is {shape!r}, must be (channels, height, width)."
        ) from error
    return channels, height, width


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
