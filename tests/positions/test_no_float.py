"""No float in money: the source of what counts it is read, not trusted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ("positions", "risk", "orders")
# Seconds and chances, by file, and answers of which only words are read: none of it is compared or added to an amount.
ALLOWED = {
    "orders/claiming.py": {"float"},
    "orders/following.py": {"float"},
    "orders/kill_driving.py": {"float", "0.3"},
    "orders/management/commands/kill_switch.py": {"float", "15.0", "240.0"},
    "orders/management/commands/place_demo_orders.py": {"0.5", "json.loads"},
    "orders/notifications.py": {"0.5", "5.0"},
    "orders/reconciliation/outcome.py": {"float"},
    "orders/rehearsal.py": {"float", "0.0"},
    "orders/rehearsal_plan.py": {"0.5"},
    "orders/sending.py": {"0.25"},
}


def floats_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and what: a float literal, ``float(...)``, a float annotation, JSON or rounding that makes one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield node.lineno, repr(node.value)
        elif isinstance(node, ast.Name) and node.id == "float":
            yield node.lineno, "float"
        elif isinstance(node, ast.Attribute) and node.attr in {"FloatField", "fsum"}:
            yield node.lineno, node.attr
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"json.loads", "json.load"}
            and not any(keyword.arg == "parse_float" for keyword in node.keywords)
        ):
            yield node.lineno, ast.unparse(node.func)


def sources() -> list[Path]:
    found = [path for app in APPS for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts]
    return [*found, ROOT / "execution_project/common/money.py"]


@pytest.mark.parametrize("source", ["x = 0.1", "x = float(y)", "def f(a: float): ...", "json.loads(t)", "1e3"])
def test_a_float_is_seen_whatever_it_looks_like(source: str) -> None:
    assert list(floats_in(ast.parse(source)))


@pytest.mark.parametrize("source", ["x = 1", "Decimal('0.1')", "json.loads(t, parse_float=Decimal)", "'0.1'"])
def test_exact_numbers_pass(source: str) -> None:
    assert not list(floats_in(ast.parse(source)))


def test_there_is_no_float_where_money_is_counted() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in sources()
        for line, what in floats_in(ast.parse(path.read_text()))
        if what not in ALLOWED.get(str(path.relative_to(ROOT)), set())
    }
    assert not found, "\n".join(sorted(found))
    assert len(sources()) > 80


def test_the_allow_list_names_nothing_that_is_gone() -> None:
    for name, allowed in ALLOWED.items():
        assert {what for _, what in floats_in(ast.parse((ROOT / name).read_text()))} == allowed, name
