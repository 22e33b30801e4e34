"""The testbench: `bench.sv` plays DMA around the core, `drive.py` is its cocotb test."""
