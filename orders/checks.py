"""System checks of this floor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from exchanges.absence_bounds import LEAST, LowerBounds, configured
from execution_project.common.management_command import ENGINE_CHECKS


@register(ENGINE_CHECKS)
def check_absence_bounds(app_configs: Any, **options: Any) -> Iterable[CheckMessage]:
    """Bounds of a proof of absence must be readable, and in production no lower than is safe for live accounts."""
    for exchange, least in LEAST.items():
        try:
            bounds = configured(exchange)
        except LowerBounds as error:
            yield Error(str(error), id="exec.E020")
            continue
        if settings.EXEC_ENV == "production" and bounds.is_below(least):
            yield Error(
                f"EXEC_ABSENCE_BOUNDS for {exchange} is {bounds.as_json()}, which live accounts refuse.",
                hint=f"At least {least.as_json()}; leave it out to use just that.",
                id="exec.E021",
            )
