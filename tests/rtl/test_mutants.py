"""The table of mutants fits the code that it is about; `make mutants` runs it."""

from pathlib import Path

import pytest
from mutants import Mutant, Verdict, mutants, page

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.fault)
def test_a_mutant_changes_one_place_and_names_tests_that_exist(mutant: Mutant) -> None:
    text = (ROOT / "rtl" / mutant.file).read_text()
    changed = mutant.applied(text)
    assert changed != text
    compile(changed, mutant.file, "exec")
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text() or not name


def test_every_file_with_something_in_it_has_a_mutant() -> None:
    files = (ROOT / "rtl").rglob("*.py")
    own = {str(p.relative_to(ROOT / "rtl")) for p in files if not p.name.startswith("__")}
    assert {mutant.file for mutant in mutants()} == own


def test_text_that_is_not_there_once_is_refused() -> None:
    mutant = Mutant("sram.py", "nothing", "words", "word", ())
    for text in ("", "words words"):
        with pytest.raises(ValueError, match="not once"):
            mutant.applied(text)


def test_the_page_counts_and_names_each() -> None:
    plain = Mutant("a.py", "wrong", "a", "b", ())
    same = Mutant("b.py", "the same", "a", "b", (), "nobody looks")
    verdicts = [
        Verdict(plain, "killed", "tests/rtl/test_a.py::test_b"),
        Verdict(plain, "killed"),
        Verdict(plain, "survived"),
        Verdict(same, "survived"),
        Verdict(same, "killed", "tests/rtl/test_a.py::test_b"),
    ]
    assert [verdict.as_expected for verdict in verdicts] == [True, True, False, True, False]
    text = page(verdicts, "python tests/mutants.py", 90)
    assert "`python tests/mutants.py`, " in text
    assert "5 mutants, 3 killed, 1 equivalent, 1 alive; 2 min." in text
    assert text.splitlines()[-5:] == [
        "| `a.py` | wrong | `rtl/test_a.py::test_b` |",
        "| `a.py` | wrong | a test takes longer than 300 s |",
        "| `a.py` | wrong | **survived** |",
        "| `b.py` | the same | equivalent: nobody looks |",
        "| `b.py` | the same | `rtl/test_a.py::test_b` |",
    ]
