"""flows: the loop, and the only room that knows all the others.

`flows/run_cosign.py` is the command; `loop` has the stages, `rundir` what survives a crash,
`results` the schema of results.json, `tables` the terminal and `report` the HTML page.
"""
