"""Limits are versions: the newest counts, one person may tighten, nobody loosens alone."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from execution_project.common.models import Event
from execution_project.common.problems import Problem
from risk.limits import newest, tighten_or_set
from risk.models import Limit
from tests.factories import BY, LimitFactory
from tests.threads import run_together

D = Decimal
KEY = ("max_order_notional", "sandbox", "account", "main")


def set_to(value: str, *key: str) -> Limit:
    return tighten_or_set(*(key or KEY), D(value), reason="test", by=BY)


@pytest.mark.django_db
def test_a_change_is_a_new_version_and_the_newest_counts() -> None:
    assert newest(*KEY) is None
    assert [set_to(value).version for value in ("100", "90", "90")] == [1, 2, 3]
    row = newest(*KEY)
    assert row is not None
    assert (row.version, row.value, row.set_by) == (3, 90, BY.name)
    assert list(Limit.objects.order_by("version").values_list("value", flat=True)) == [100, 90, 90]
    assert Event.objects.filter(kind="limit.set", subject_id="max_order_notional/sandbox/account:main").count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["100.000000000000000001", "1000"])
def test_one_person_does_not_loosen(value: str) -> None:
    set_to("100")
    with pytest.raises(Problem) as caught:
        set_to(value)
    assert (caught.value.status, caught.value.code) == (409, "LOOSENING_NEEDS_APPROVAL")
    set_to("50")
    with pytest.raises(Problem):
        set_to("100")
    assert Limit.objects.count() == 2


@pytest.mark.django_db
def test_a_limit_that_was_switched_off_is_not_set_again_by_one_person() -> None:
    LimitFactory(value=None)
    with pytest.raises(Problem):
        set_to("100")


@pytest.mark.django_db
def test_limits_of_other_modes_scopes_and_controls_are_their_own() -> None:
    set_to("1")
    for key in (
        ("max_order_notional", "live", "account", "main"),
        ("max_order_notional", "sandbox", "account", "other"),
        ("max_order_notional", "sandbox", "global", ""),
        ("max_working_orders", "sandbox", "account", "main"),
    ):
        assert set_to("1000", *key).version == 1


@pytest.mark.django_db
def test_the_database_refuses_a_negative_limit_and_a_version_twice() -> None:
    with pytest.raises(IntegrityError, match="limit_not_negative"), transaction.atomic():
        set_to("-1")
    LimitFactory(version=1)
    with pytest.raises(IntegrityError, match="limit_version_once"), transaction.atomic():
        LimitFactory(version=1, value=D(5))


@pytest.mark.django_db(transaction=True)
def test_changes_at_the_same_time_leave_one_of_a_version_and_never_a_looser_one() -> None:
    set_to("100")
    results = run_together([lambda value=value: set_to(value) for value in ("90", "80", "70", "60")])
    stored = list(Limit.objects.order_by("version").values_list("version", "value"))
    assert [version for version, _ in stored] == list(range(1, len(stored) + 1))
    assert [value for _, value in stored] == sorted((value for _, value in stored), reverse=True)
    assert len(stored) == 1 + sum(isinstance(result, Limit) for result in results) >= 2
