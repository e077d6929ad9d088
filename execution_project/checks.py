"""System checks: what would be unsafe or could not work is refused before the first request.

``exec.E001`` to ``E006`` concern production only; the rest holds always.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import ProgrammingError
from django.utils.module_loading import import_string

from execution_project.common.management_command import ENGINE_CHECKS

SHORTEST_SECRET_KEY = 50
RETRY_SLACK_S = 10


@register(Tags.security, ENGINE_CHECKS)
def check_production(app_configs: Any, **options: Any) -> Iterable[CheckMessage]:
    """A production start with anything meant for development is an accident."""
    if settings.EXEC_ENV != "production":
        return
    try:
        secret_key = settings.SECRET_KEY
    except ImproperlyConfigured:  # Django's answer to an empty one
        secret_key = ""
    if secret_key == settings.DEVELOPMENT_SECRET_KEY or len(secret_key) < SHORTEST_SECRET_KEY:
        yield Error(
            f"EXEC_SECRET_KEY is unset, the development one or shorter than {SHORTEST_SECRET_KEY} characters.",
            hint="Generate one: python -c 'import secrets; print(secrets.token_urlsafe(64))'",
            id="exec.E001",
        )
    if settings.DEBUG:
        yield Error("EXEC_DEBUG is true; debug pages show settings and data.", id="exec.E002")
    if not settings.EXEC_ENCRYPTION_KEYS:
        yield Error(
            "EXEC_ENCRYPTION_KEYS is unset; exchange credentials cannot be stored.",
            hint="A comma-separated list of name:key, the first one encrypts; see .env.example.",
            id="exec.E003",
        )
    if settings.DEVELOPMENT_ENCRYPTION_KEY in settings.EXEC_ENCRYPTION_KEYS:
        yield Error("EXEC_ENCRYPTION_KEYS contains the development key, which everybody knows.", id="exec.E004")
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        yield Error("EXEC_ALLOWED_HOSTS is empty or allows every host.", id="exec.E005")
    if settings.EXEC_FAULT_HOOK:
        yield Error("EXEC_FAULT_HOOK is set; it kills processes and is for drills only.", id="exec.E006")


@register(ENGINE_CHECKS)
def check_queues(app_configs: Any, **options: Any) -> Iterable[CheckMessage]:
    """A task must have ended before its row is delivered again.

    The retry clock starts when the row is pulled. ``queue_limit`` tasks and one in the pusher's hand may then wait
    behind the running ones, and each may take the whole timeout.
    """
    for name, queue in settings.Q_CLUSTER["ALT_CLUSTERS"].items():
        rounds = ceil((queue["workers"] + queue["queue_limit"] + 1) / queue["workers"])
        needed = queue["timeout"] * rounds + RETRY_SLACK_S
        if queue["retry"] < needed:
            yield Error(
                f"Queue {name}: retry is {queue['retry']} s, but a pulled task may take {needed} s to end,"
                " so it would be delivered twice.",
                hint="Raise retry, or lower timeout or queue_limit.",
                id="exec.E010",
            )


@register(Tags.database)
def check_reporting_currency(app_configs: Any, databases: Any = None, **options: Any) -> Iterable[CheckMessage]:
    """Facts keep their values in the currency that they were booked in."""
    if not databases:
        return
    from positions.currencies import other_currencies  # models are not loaded when checks are registered

    try:
        other = other_currencies()
    except ProgrammingError:  # before the first migrate
        return
    if other:
        yield Error(
            f"EXEC_REPORTING_CURRENCY is {settings.EXEC_REPORTING_CURRENCY}, but facts are valued in"
            f" {', '.join(other)}.",
            hint="It is fixed once books are open: set it back.",
            id="exec.E013",
        )


@register(ENGINE_CHECKS)
def check_pool(app_configs: Any, **options: Any) -> Iterable[CheckMessage]:
    """Forked workers that share a pool read each other's replies."""
    for alias, database in settings.DATABASES.items():
        if "pool" in database.get("OPTIONS", {}):
            yield Error(f"Database {alias}: the option 'pool' must not be used with forked workers.", id="exec.E011")


@register(ENGINE_CHECKS)
def check_ticks(app_configs: Any, **options: Any) -> Iterable[CheckMessage]:
    """Every tick must exist and have a sensible period."""
    for path, every_s in settings.EXEC_TICKS.items():
        try:
            usable = callable(import_string(path))
        except ImportError:
            usable = False
        if not usable:
            yield Error(f"EXEC_TICKS names {path}, which is not a function.", id="exec.E012")
        if every_s <= 0:
            yield Error(f"EXEC_TICKS: the period of {path} is {every_s} s; it must be positive.", id="exec.E012")
