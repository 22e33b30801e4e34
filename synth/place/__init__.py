"""What wires cost: cells in rows, trees and repeaters by position, timing with wire loads.

    placed = place_core(config, top, pdk, logic, toolchain, Placement())   # synth.place.core
    made = Job(config, netlist, pdk, lef, metal, asked, seed, folder)      # one netlist
    found = place(made, provenance)                                        # synth.place.flow

Nothing is routed: wires are Steiner estimates over placed pins, and the clock is ideal.
"""
