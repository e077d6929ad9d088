"""System checks refuse what would be unsafe or could not work."""

from __future__ import annotations

from typing import Any

import pytest

from execution_project import checks

GOOD = {
    "EXEC_ENV": "production",
    "SECRET_KEY": "k" * 50,
    "DEBUG": False,
    "EXEC_ENCRYPTION_KEYS": ["main:abc"],
    "ALLOWED_HOSTS": ["engine.example"],
    "EXEC_FAULT_HOOK": "",
}


def found(check: Any) -> list[str]:
    return [message.id for message in check(None)]


def test_good_production_settings_pass(settings: Any) -> None:
    for name, value in GOOD.items():
        setattr(settings, name, value)
    assert found(checks.check_production) == []


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"SECRET_KEY": ""}, ["exec.E001"]),
        ({"SECRET_KEY": "development-only-secret-key-never-used-in-production"}, ["exec.E001"]),
        ({"DEBUG": True}, ["exec.E002"]),
        ({"EXEC_ENCRYPTION_KEYS": []}, ["exec.E003"]),
        ({"EXEC_ENCRYPTION_KEYS": ["main:abc", "dev:ZGV2ZWxvcG1lbnQtb25seS1lbmNyeXB0aW9uLWtleSE="]}, ["exec.E004"]),
        ({"ALLOWED_HOSTS": []}, ["exec.E005"]),
        ({"ALLOWED_HOSTS": ["*"]}, ["exec.E005"]),
        ({"EXEC_FAULT_HOOK": "moment@file"}, ["exec.E006"]),
        ({"EXEC_ENV": "development", "DEBUG": True}, []),
    ],
)
def test_production_refuses(settings: Any, changes: dict[str, Any], numbers: list[str]) -> None:
    for name, value in (GOOD | changes).items():
        setattr(settings, name, value)
    assert found(checks.check_production) == numbers


@pytest.mark.parametrize(
    ("workers", "queue_limit", "retry", "numbers"),
    [(1, 1, 100, []), (1, 1, 99, ["exec.E010"]), (2, 1, 70, []), (2, 2, 99, ["exec.E010"]), (2, 2, 100, [])],
)
def test_retry_must_outlast_what_a_pulled_task_may_take(
    settings: Any, workers: int, queue_limit: int, retry: int, numbers: list[str]
) -> None:
    queue = {"workers": workers, "queue_limit": queue_limit, "timeout": 30, "retry": retry}
    settings.Q_CLUSTER = {"ALT_CLUSTERS": {"q": queue}}
    assert found(checks.check_queues) == numbers


def test_own_queues_pass() -> None:
    assert found(checks.check_queues) == []


def test_pool_is_refused(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"]["OPTIONS"], "pool", True)
    assert found(checks.check_pool) == ["exec.E011"]


@pytest.mark.parametrize("ticks", [{"orders.nowhere.f": 1}, {"execution_project.ticker.BEAT_NAME": 1}])
def test_unresolvable_tick_is_refused(settings: Any, ticks: dict[str, float]) -> None:
    settings.EXEC_TICKS = ticks
    assert found(checks.check_ticks) == ["exec.E012"]


def test_tick_without_a_period_is_refused(settings: Any) -> None:
    settings.EXEC_TICKS = {"execution_project.ticker.beat": 0}
    assert found(checks.check_ticks) == ["exec.E012"]
