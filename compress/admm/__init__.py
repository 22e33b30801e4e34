"""The method: ADMM's state and updates, the projections, and ADMM layer by layer."""
