"""Fixtures: the toy task, LeNet-5 trained on it through all stages, a small residual network."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from compress import train
from compress.stages import StageResult


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    return _module("toy")


@pytest.fixture(scope="session")
def small() -> ModuleType:
    return _module("small")


@pytest.fixture(scope="session")
def trained(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, StageResult]:
    """Results of an uninterrupted run, by stage."""
    folder = tmp_path_factory.mktemp("trained")
    dataset, recipe = toy.dataset(), toy.recipe()
    return {stage: train.run_stage(stage, recipe, dataset, folder, 0) for stage in train.STAGES}
