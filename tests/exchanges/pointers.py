"""Tables in docstrings that say which test proves what, and whether those tests are still there."""

from __future__ import annotations

import importlib
import inspect
import re

_ROW = re.compile(r"^(?P<number>[0-9]+(?:\.[0-9]+)*) +(?P<test>[\w.]+::test_\w+)$", re.MULTILINE)


def pointers(docstring: str | None) -> list[tuple[str, str]]:
    """The rows "number  module::test" of a docstring; modules are named from ``tests`` on."""
    return [(row["number"], row["test"]) for row in _ROW.finditer(docstring or "")]


def assert_is_a_test(pointer: str) -> None:
    """The pointer leads to a test function that pytest collects."""
    module, _, name = pointer.partition("::")
    found = getattr(importlib.import_module(f"tests.{module}"), name, None)
    assert inspect.isfunction(found), pointer
    assert module.rpartition(".")[2].startswith("test_"), pointer
    assert found.__module__ == f"tests.{module}", f"{pointer} was imported from elsewhere"
    assert getattr(found, "__test__", True), pointer


def numbers_of_tests(names: dict[str, object], prefix: str) -> set[str]:
    """The numbers that a module's own tests carry: ``test_<prefix>_07_…`` is 7, ``test_<prefix>_8_2_3_…`` is 8.2.3."""
    pattern = re.compile(rf"test_{prefix}_((?:[0-9]+_)+)")
    matches = [pattern.match(name) for name in names]
    return {".".join(str(int(part)) for part in match[1].strip("_").split("_")) for match in matches if match}
