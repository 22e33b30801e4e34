"""An ONNX file as a model in memory, the weights beside it included."""

from pathlib import Path

import onnx

from cosign import CosignError

_LONGEST = 200  # characters of a library's sentence in ours


def load(path: Path) -> onnx.ModelProto:
    """The model of a file, with the data that it keeps in files beside it.

    Raises CosignError in one sentence on a file that cannot be read or is no whole model.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise CosignError(f"cannot read {path}: {error.strerror or error}.") from error
    try:
        model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf raises many kinds
        raise damaged(str(path), error) from error
    try:
        onnx.load_external_data_for_model(model, str(path.resolve().parent))
    except Exception as error:  # so do missing, short and forbidden files of weights
        raise CosignError(
            f"{path} keeps weights in another file that cannot be read ({reason(error)}); "
            "put that file beside it."
        ) from error
    return model


def damaged(where: str, error: Exception) -> CosignError:
    """What is said of a file that is cut off, or no ONNX model at all."""
    return CosignError(f"{where} is not a whole ONNX model ({reason(error)}).")


def reason(error: Exception) -> str:
    """The first line of what a library says, where it knows most; of a long one its beginning."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST].rstrip()} ..."
