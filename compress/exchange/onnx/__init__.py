"""ONNX files as networks: made plain, followed number by number, fused.

network = reader.read(Path("model.onnx"))        # a Pretrained, or a CosignError in a sentence

`clean` makes a foreign graph a plain one, with `load`, `types`, `shapes`, `fold`, `foreign`,
`fused` and the quantised kinds. `reader` goes through that and lets `ops`, `functions`, `softmax`
and `moves` call a `Tracer`, which follows where numbers are (`views`) and ends in `fusing`.
"""
