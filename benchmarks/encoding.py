"""AlexNet's fc1 into bytes and back, against scipy.sparse CSR with zlib, as ratios in one run.

37.7M weights, random at the density of the paper's preset, 3-bit levels of a normal distribution.
Both sides go from the dense int8 matrix to bytes and from the bytes to the dense matrix; ours
includes the file's header, checksums and validation. The best of several turns counts. Needs
scipy, which this project otherwise does without. Prints JSON, every coding beside the rival.

    python benchmarks/encoding.py --json build/encoding.json
"""

import argparse
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from timing import best

from compress.file import container
from compress.model.graph import CompressedModel, InputSpec, Layer
from compress.model.hostops import HostOp
from compress.zoo.networks import densities, spec_of
from cosign import write_json

_BITS = 3
_CODINGS = ("ans", "relative", "absolute", "bitmask")  # adaptive is for small layers


def levels(density: float, seed: int) -> np.ndarray:
    """int8 [4096, 9216]."""
    rng = np.random.default_rng(seed)
    geometry = spec_of("alexnet").geometries["fc1"]
    dense = np.zeros((geometry.out_channels, geometry.columns), np.int8)
    places = rng.random(dense.shape, np.float32) < density
    size = np.clip(np.ceil(np.abs(rng.normal(0, 1.8, int(places.sum())))), 1, 4)
    dense[places] = size * rng.choice([-1, 1], len(size))
    return dense


def ours(dense: np.ndarray, coding: str | None = None) -> bytes:
    layer = Layer.from_dense(
        dense,
        name="fc1",
        input="flatten",
        geometry=spec_of("alexnet").geometries["fc1"],
        bits=_BITS,
        q=0.01,
        bias=np.zeros(len(dense)),
        mul=1 << 15,
        shift=20,
        relu=True,
        in_scale=0.1,
        out_scale=0.1,
    )
    pool5 = InputSpec((256, 6, 6), 0.1, (0.0,) * 256, (1.0,) * 256)
    nodes = (HostOp("flatten", "flatten", ("input",)), layer)
    return container.to_bytes(CompressedModel("fc1", pool5, nodes), coding)


def theirs(dense: np.ndarray) -> tuple[bytes, bytes, bytes]:
    csr = scipy.sparse.csr_matrix(dense)
    return tuple(zlib.compress(part.tobytes()) for part in (csr.indptr, csr.indices, csr.data))


def their_dense(parts: tuple[bytes, bytes, bytes], shape: tuple[int, ...]) -> np.ndarray:
    kinds = (np.int32, np.int32, np.int8)
    indptr, indices, data = (
        np.frombuffer(zlib.decompress(part), kind) for part, kind in zip(parts, kinds, strict=True)
    )
    return scipy.sparse.csr_matrix((data, indices, indptr), shape).toarray()


def measure(alpha: str, turns: int, seed: int) -> dict[str, Any]:
    density = densities("alexnet", alpha)["fc1"]
    dense = levels(density, seed)
    parts = theirs(dense)
    assert np.array_equal(their_dense(parts, dense.shape), dense)
    rival = {
        "bytes": sum(map(len, parts)),
        "encode_s": best(lambda: theirs(dense), turns),
        "decode_s": best(lambda: their_dense(parts, dense.shape), turns),
    }
    rival["round_trip_s"] = rival["encode_s"] + rival["decode_s"]
    result: dict[str, Any] = {
        "weights": dense.size,
        "nonzeros": int(np.count_nonzero(dense)),
        "density": density,
        "scipy_csr_zlib": rival,
    }
    for coding in _CODINGS:
        blob = ours(dense, coding)
        assert np.array_equal(container.from_bytes(blob).layers[0].dense_levels(), dense)
        found = {
            "bytes": len(blob),
            "encode_s": best(lambda: ours(dense, coding), turns),  # noqa: B023
            "decode_s": best(
                lambda: container.from_bytes(blob).layers[0].dense_levels(),  # noqa: B023
                turns,
            ),
        }
        found["round_trip_s"] = found["encode_s"] + found["decode_s"]
        found["ratio"] = {key: rival[key] / found[key] for key in rival}
        result[coding] = found
    result["smallest"] = container.parse(ours(dense))[1]["fc1"].index_coding
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alpha", default="table7", help="preset of AlexNet (table7)")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    result = measure(options.alpha, options.turns, options.seed)
    if options.json:
        write_json(options.json, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
