"""Wires that nobody routed: Steiner trees, resistance and capacitance, SPEF, congestion.

trees = steiner_trees(starts, x, y)         # of every net at a time
write_spef(path, top, nets, trees, metal)   # what OpenSTA times
demand_over_capacity(trees, floorplan, lef) # where a router would run out of tracks
"""
