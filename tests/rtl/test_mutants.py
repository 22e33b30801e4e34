"""The table of mutants fits the code that it is about; `make mutants` runs it."""

from pathlib import Path

import mutants
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_changes_one_place_and_names_tests_that_exist(mutant: mutants.Mutant) -> None:
    text = (ROOT / "rtl" / mutant.file).read_text()
    changed = mutants.mutated(mutant, text)
    assert changed != text
    compile(changed, mutant.file, "exec")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text() or not name


def test_every_file_of_the_hardware_has_a_mutant() -> None:
    files = {str(path.relative_to(ROOT / "rtl")) for path in (ROOT / "rtl").rglob("*.py")}
    without = {"__init__.py", "__main__.py", "options.py", "soc/__init__.py"}  # no hardware
    assert {mutant.file for mutant in mutants.MUTANTS} == files - without


def test_text_that_is_not_there_once_is_refused() -> None:
    mutant = mutants.Mutant("sram.py", "nothing", "words", "word", ())
    for text in ("", "words words"):
        with pytest.raises(ValueError, match="not once"):
            mutants.mutated(mutant, text)
