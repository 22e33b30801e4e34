"""Sweeps: cores x layers x recipes, each measured once, and the best of them.

`spec` says what is asked, `measure` what one point is, `store` keeps results (SQLite), `search`
chooses points (a grid, or an Optuna study), `coordinator` has them measured on a Dask cluster,
`front` finds what nothing beats, and `command` is `python -m synth sweep`.
"""
