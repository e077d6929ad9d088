"""docs/complaints.md names every number once, only tests that exist, and every test of this folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs/complaints.md").read_text(encoding="utf-8")
ROWS = {int(row[1]): row[0] for row in re.finditer(r"^\| (\d+) \|.*$", TABLE, re.MULTILINE)}
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
HERE = Path(__file__).parent


def functions_of(path: Path) -> set[str]:
    """Names of the test functions at the top of a file."""
    functions = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in functions if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_number_has_one_row() -> None:
    numbers = re.findall(r"^\| (\d+) \|", TABLE, re.MULTILINE)
    assert sorted(map(int, numbers)) == list(range(1, 48))


@pytest.mark.parametrize("number", range(1, 48))
def test_a_row_names_tests_that_exist_or_says_what_is_missing(number: int) -> None:
    named = NAMED.findall(ROWS[number])
    assert named or "Not covered yet: " in ROWS[number]
    missing = [f"{path}::{name}" for path, name in named if name not in functions_of(ROOT / path)]
    assert missing == []
    assert ROWS[number].count("::") == len(named), "a test is not written as `path::name`"


def test_every_test_of_this_folder_is_in_the_row_of_its_number() -> None:
    for path in sorted(HERE.glob("test_*.py")):
        if path == Path(__file__):
            continue
        for name in functions_of(path):
            number = re.match(r"test_complaint_(\d\d)_", name)
            assert number is not None, f"{name} carries no number"
            assert f"`{path.relative_to(ROOT)}::{name}`" in ROWS[int(number[1])], f"{name} is not in its row"
