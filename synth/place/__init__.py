"""Placed cores: what wires cost. Nothing is routed."""
