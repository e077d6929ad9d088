"""Another reporting currency than the one that facts were booked in is seen at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Tags, run_checks

from execution_project.health import findings
from tests.factories import AccountFactory
from tests.positions.books import posted


@pytest.mark.django_db
def test_another_reporting_currency_than_the_books_have_is_refused(settings: Any) -> None:
    def said() -> tuple[bool, list[str | None]]:
        (finding,) = (one for one in findings() if one.name == "reporting currency")
        errors = [one.id for one in run_checks(tags=[Tags.database], databases=["default"])]
        return finding.ok, [one for one in errors if one == "exec.E013"]

    assert said() == (True, [])
    posted(AccountFactory(), "deposit", "USDT", "1000")
    assert said() == (True, [])
    settings.EXEC_REPORTING_CURRENCY = "TRY"
    assert said() == (False, ["exec.E013"])
