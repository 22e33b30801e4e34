"""Compression by training: stages, recipes, allocation, bit widths, and rivals of ADMM."""
