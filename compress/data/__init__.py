"""Data sets, where they are fetched from, and the input pipeline of training."""
