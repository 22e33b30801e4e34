"""Fixtures: LeNet-5 trained on the toy task through all stages."""

from types import ModuleType

import pytest

from compress.train import stages
from compress.train.results import StageResult


@pytest.fixture(scope="session")
def trained(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, StageResult]:
    """Results of an uninterrupted run, by stage."""
    folder = tmp_path_factory.mktemp("trained")
    dataset, recipe = toy.dataset(), toy.recipe()
    return {stage: stages.run_stage(stage, recipe, dataset, folder, 0) for stage in stages.STAGES}
