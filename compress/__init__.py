"""compress: PyTorch makes the network small and writes it down.

The rooms `model`, `file` and `zoo` need no torch and are all that the hardware rooms see. The
others are imported by name:

    dataset = datasets.load_dataset("lenet5", None, seed=0)
    recipe = networks.recipe("lenet5")
    for stage in stages.STAGES:
        result = stages.run_stage(stage, recipe, dataset, folder, seed=0)
    model = export.export(result, dataset)
"""

import os

# Torch's OpenMP threads spin while they wait. On a machine that does other work too, a training
# step of LeNet-5 then takes ten times as long. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
