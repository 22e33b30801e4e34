"""rtl: the machine, in Amaranth. One config in, Verilog out; one layer in, its streams out.

- `rtl.config.CoreConfig`: everything that a core is a function of
- `rtl.verilog.generate` / `write`: its Verilog; `rtl.sram.macros`: the memories it uses
- `rtl.layout.Layout`: where a layer's activations lie in the memory
- `rtl.pack.pack_layer`: a layer compiled for a core, or one sentence why it does not fit
- `rtl.core.Core`: the core; it joins a front end (`dense`, `sparse`, `bitmask` or `rows`: weights,
  issue, addresses), `activation` (banked memory and rotator), `lane` (multiplier and accumulator)
  and `drain`
- `rtl.soc.axi.AxiTop`: the core as a SoC takes it; `rtl.soc.registers.register_map`: its registers
- `cosign rtl generate`: all of it for one config, in a folder
"""
