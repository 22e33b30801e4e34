"""Real ONNX files, compressed and exported in every format, each checked as it is written.

They are looked for in shared/data/real/onnx above this folder, and what needs them is skipped where
they are not.
"""

from pathlib import Path

import numpy as np
import pytest

from compress.exchange import convert, sources
from compress.file import container
from compress.nn.network import pretrained_network
from compress.posttrain import pipeline
from compress.posttrain.integers import input_spec
from compress.posttrain.rehearsal import rehearse
from cosign import CosignError
from sim import golden

FILES = sorted(
    file for above in Path(__file__).parents for file in above.glob("shared/data/real/onnx/*.onnx")
)


@pytest.mark.skipif(not FILES, reason="shared/data/real/onnx is not there")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_real_file_is_exported(file: Path, tmp_path: Path) -> None:
    try:
        own = sources.load(str(file))
    except CosignError as error:
        pytest.skip(f"not read: {error}")
    spec = own.spec
    rehearse(spec)
    half = (0.5,) * spec.shape[0]
    pixels = np.random.default_rng(0).integers(0, 256, (2, *spec.shape), np.uint8)
    layers = spec.geometries
    model = pipeline.compress(
        pretrained_network(own),
        input_spec(spec.shape, half, half),
        dict.fromkeys(layers, 0.5),
        dict.fromkeys(layers, 2),
        pixels,
    )
    container.save(model, tmp_path / "m.cosign", "relative")
    read = container.load(tmp_path / "m.cosign")
    for form in convert.FORMATS:
        convert.write(read, form, tmp_path / form, golden.trace)
        assert (tmp_path / form).stat().st_size > 0
