"""Settings of all tests, and fixtures of more than one room."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import Phase, settings

COMPRESS = Path(__file__).with_name("compress")

settings.register_profile("any machine", deadline=None)  # a busy one is no failure
settings.register_profile("first failure", deadline=None, phases=[Phase.explicit, Phase.generate])
settings.load_profile("any machine")


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, COMPRESS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """A small task, and LeNet-5's recipe for it."""
    return _module("toy")


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """A small residual network."""
    return _module("small")
