"""Sweeps: cores x layers x recipes, each measured once, and the best of them.

`spec` is what is asked, `parse` reads it, `measure` does one point, `store` keeps results (SQLite),
`search` chooses points (a grid, or an Optuna study), `coordinator` has them measured on a Dask
cluster, `front` finds what nothing beats, `results` and `plot` show it. `cosign sweep` is the
command.
"""
