"""Fixtures: the toy task, and LeNet-5 trained on it through all stages."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from compress import train
from compress.stages import StageResult


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def trained(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, StageResult]:
    """Results of an uninterrupted run, by stage."""
    folder = tmp_path_factory.mktemp("trained")
    dataset, recipe = toy.dataset(), toy.recipe()
    return {stage: train.run_stage(stage, recipe, dataset, folder, 0) for stage in train.STAGES}
