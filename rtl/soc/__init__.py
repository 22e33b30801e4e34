"""The core as a part of a SoC: AXI4-Lite registers, AXI4-Stream packets."""
