"""Networks that a run without training made on its way: each compressed once, and judged once."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from compress.file import container
from compress.model.graph import CompressedModel, InputSpec
from compress.model.pattern import NO_PATTERNS, Patterns
from compress.model.pretrained import Pretrained
from compress.model.tidy import tidy
from compress.nn.network import pretrained_network
from compress.posttrain import pipeline
from compress.posttrain.finetune import Finetuning
from cosign import read_json, values, write_json
from flows.loop.images import Images
from flows.measure.quality import Judge, Quality

_JUDGED_MACS = 1e12  # of all images together that a candidate is judged on


class Candidates:
    """The files of a run's candidates in a folder, by what their layers keep.

    bits : of every layer's levels
    minutes : to finetune the network that is kept in the end, if it is to be: of that methods speak
        where they are told `final`
    seed : of that
    note : gets a line for each layer that is compressed
    patterns : of layers of that network
    """

    def __init__(
        self,
        folder: Path,
        pretrained: Pretrained,
        source: InputSpec,
        images: Images,
        bits: int,
        minutes: float | None,
        seed: int,
        note: Callable[[str], None],
        patterns: Patterns = NO_PATTERNS,
    ) -> None:
        self._folder = folder
        self._pretrained, self._source, self._images = pretrained, source, images
        self._bits, self._note = bits, note
        self._minutes, self._seed, self._patterns = minutes, seed, patterns
        self._last: tuple[Path | None, Any] = None, None

    def model(self, keep: Mapping[str, int], final: bool = False) -> CompressedModel:
        """The network compressed to so many weights by layer, without what has no effect."""
        file = self.file(keep, final)
        if file == self._last[0]:
            return self._last[1]
        if file.exists():
            model = container.load(file)
        else:
            weights, finetuning = self._pretrained.weights, None
            if final and self._minutes is not None:
                part = file.with_suffix(".pt")
                finetuning = Finetuning(self._minutes, self._images.pool, self._seed, part)
            pruned = pipeline.compress(
                pretrained_network(self._pretrained),
                self._source,
                {name: keep[name] / weights[name].size for name in weights},
                dict.fromkeys(weights, self._bits),
                self._images.calibration,
                "oneshot",
                self._note,
                self._pretrained.scales,
                finetuning,
                self._patterns if final else NO_PATTERNS,
            )
            model = tidy(pruned, in_order=final and bool(self._patterns))
            container.save(model, file)
        self._last = file, model
        return model

    def file(self, keep: Mapping[str, int], final: bool = False) -> Path:
        """Where it lies, or will."""
        text = json.dumps(dict(keep), sort_keys=True)
        more = "-finetuned" if final and self._minutes is not None else ""
        more += "-patterned" if final and self._patterns else ""
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}{more}.cosign"

    def quality(
        self,
        keep: Mapping[str, int],
        report: Callable[[int], None] = lambda done: None,
        final: bool = False,
    ) -> Quality:
        """Of its integers, on images of the validation split."""
        known = self.known(keep, final)
        if known is None:
            known = self.judge.of(self.model(keep, final), report)
            write_json(self.file(keep, final).with_suffix(".json"), msgspec.to_builtins(known))
        return known

    def known(self, keep: Mapping[str, int], final: bool = False) -> Quality | None:
        """The same where it was judged, else None."""
        file = self.file(keep, final).with_suffix(".json")
        if not file.exists():
            return None
        return values.parse(read_json(file), Quality, str(file), "delete it and run again")

    @functools.cached_property
    def judge(self) -> Judge:
        """Evenly spread images of the validation split, fewer for networks of many MACs."""
        split, spec = self._images.val, self._pretrained.spec
        macs = sum(geometry.macs for geometry in spec.geometries.values())
        count = min(len(split.labels), max(16, int(_JUDGED_MACS / max(macs, 1))))
        chosen = np.unique(np.linspace(0, len(split.labels) - 1, count).astype(np.int64))
        labels = split.labels[chosen] if self._images.labelled else None
        network = pretrained_network(self._pretrained)
        return Judge(network, self._source, split.images(chosen), labels)
