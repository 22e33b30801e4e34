"""compress: PyTorch makes the network small and writes it down.

`compress.container` is the wall to the hardware rooms and needs no torch; import the
training modules (`models`, `data`, `admm`, `train`, `export`) by name.
"""
