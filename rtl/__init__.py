"""rtl: the machine, in Amaranth. One config in, Verilog out; one layer in, its streams out.

- `rtl.config.CoreConfig`: everything that a core is a function of
- `rtl.coreset.CoreSet`: the cores that are measured against each other, each in its role
- `rtl.verilog.generate` / `write`: its Verilog; `rtl.sram.macros`: the memories it uses
- `rtl.program`: a layer as the core's words; `rtl.program.pack.pack_layer` compiles one
- `rtl.core.Core`: the core; it joins a front end (`dense`, `sparse`, `bitmask` or `rows`: weights,
  issue, addresses), `activation` (banked memory and rotator), `lane` (multiplier and accumulator)
  and `drain`
- `rtl.soc.axi.AxiTop`: the core as a SoC takes it; `rtl.soc.registers.register_map`: its registers
- `cosign rtl generate`: all of it for one config, in a folder
"""
