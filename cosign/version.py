"""The version of cosign, which files name as their writer."""

__version__ = "0.1.0"
