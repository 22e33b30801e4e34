"""What the command line of a run without training says in tests."""

from pathlib import Path

SMALL = Path(__file__).with_name("small_cores.toml")  # their synthesis takes seconds


def asked(network: Path, data: Path, *arguments: str) -> list[str]:
    """The words of a run: of LeNet-5 where there are only weights."""
    first = [str(network), "--mean=0.1307", "--std=0.3081"]
    if network.suffix == ".pt":
        first = ["lenet5", "--weights", str(network)]
    given = ["--data", str(data), "--method", "oneshot", "--cores", str(SMALL), "--images", "1"]
    return [*first, *given, *arguments]
