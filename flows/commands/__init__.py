"""Hardware-software co-design for sparse, low-bit neural networks."""

from cosign.command import Command

COMMANDS = {
    "run": Command(
        "flows.commands.run", "the whole loop: prune, measure the hardware, prune again, execute"
    ),
    "compare": Command("flows.commands.compare", "finished runs side by side"),
    "train": Command(
        "flows.commands.train", "prune and quantise a network by training it, and write the file"
    ),
    "evaluate": Command(
        "flows.commands.evaluate", "accuracy of a file's integers on the test split"
    ),
    "breakeven": Command(
        "flows.commands.breakeven", "break-even pruning ratio of a layer (Fig. 4 of the paper)"
    ),
    "frontier": Command(
        "flows.commands.frontier",
        "break-even of the best sparse against the best dense core of each area",
    ),
    "sweep": Command(
        "flows.commands.sweep",
        "area, delay and energy of many cores on layers and densities; resumable",
    ),
    "energy": Command(
        "flows.commands.energy", "energy of a network's convolutions on sparse and dense cores"
    ),
    "baselines": Command("flows.commands.baselines", "ways of pruning compared"),
    "posttrain": Command(
        "flows.commands.posttrain",
        "any network without training: accuracy by ratio, bits and method",
    ),
    "record": Command("flows.commands.record", "LeNet-5 in as few weights and bytes as possible"),
    "compress": Command(
        "compress.commands", "files and networks: inspect, export, repack, convert, images"
    ),
    "rtl": Command("rtl.commands", "the machine as Verilog: generate"),
    "sim": Command("sim.commands", "what the machine does: run, cycles, coverage"),
    "synth": Command("synth.commands", "what one core costs: report, fpga"),
}
