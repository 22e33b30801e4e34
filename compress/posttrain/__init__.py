"""Compression without training, on calibration images alone."""
