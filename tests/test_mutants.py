"""Every guard that ``tests/mutants.py`` removes stands where it says; ``make proof`` removes them."""

from __future__ import annotations

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant, without_guard


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_the_guard_and_its_test_are_where_they_were(mutant: Mutant) -> None:
    whole = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert without_guard(mutant, whole) != whole
    file, _, test = mutant.test.partition("::")
    assert test.partition("[")[0].rpartition("::")[2] in (ROOT / file).read_text(encoding="utf-8")
