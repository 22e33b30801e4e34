"""sim: What the machine does.

- `sim.golden`: the integer model that defines every value
- `sim.cycles.layer_cycles`: the exact number of clock cycles, without simulating
- `sim.run.run_layer`: a layer on the RTL; `sim.verify.verify`: a network, compared value by value
- `sim.simulate.simulate`: many jobs in one simulator process; `sim.build.build` compiles it
"""
