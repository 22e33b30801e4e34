"""flows: the loop, and the only room that knows all the others.

`commands` has what `cosign` can do, one module each; `loop` the stages of its main job, `report`
tables, figures and the HTML page; `measure` what is measured of a network on cores, `studies`
comparisons beside the loop, `sweep` many cores at once.
"""
