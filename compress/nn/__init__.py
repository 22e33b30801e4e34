"""The torch module that computes a network."""
