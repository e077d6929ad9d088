"""The status that facts call for, whatever the order in which they arrive."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.reports import ReportedStatus
from orders.lifecycle import OrderStatus, derive_status

S, R = OrderStatus, ReportedStatus
ONE = Decimal(1)
STATUSES = st.sampled_from(list(OrderStatus))
ENDS = [S.DENIED, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.SETTLED]
WORKING_WORDS = [None, R.OPEN, R.PARTIALLY_FILLED, R.UNRECOGNISED]
REPORTED = st.sampled_from([None, *ReportedStatus])
AMOUNTS = st.decimals(min_value=0, max_value=2, places=2)
SENT = [S.SUBMITTING, S.SUBMIT_UNKNOWN]


def derive(current: OrderStatus, reported: ReportedStatus | None, seen: str = "0", whole: str | None = "1") -> str:
    status = derive_status(
        current,
        reported=reported,
        whole_quantity=None if whole is None else Decimal(whole),
        seen_quantity=Decimal(seen),
    )
    return status.value


@given(st.sampled_from(ENDS), st.sampled_from(WORKING_WORDS), AMOUNTS)
def test_a_stale_word_never_opens_an_ended_order(
    current: OrderStatus, reported: ReportedStatus | None, seen: Decimal
) -> None:
    after = derive_status(current, reported=reported, whole_quantity=ONE, seen_quantity=seen)
    assert after not in {S.OPEN, S.PARTIALLY_FILLED, S.PENDING, S.SUBMITTING}


@pytest.mark.parametrize("ended", [S.CANCELED, S.EXPIRED])
def test_only_what_was_concluded_to_be_over_works_again(ended: OrderStatus) -> None:
    def after(reported: ReportedStatus | None, seen: str, *, revived: bool) -> OrderStatus:
        return derive_status(ended, reported=reported, whole_quantity=ONE, seen_quantity=Decimal(seen), revived=revived)

    assert after(R.OPEN, "0", revived=True) is S.OPEN
    assert after(R.PARTIALLY_FILLED, "0.4", revived=True) is S.PARTIALLY_FILLED
    assert after(R.CANCELED, "0.4", revived=True) is ended
    assert after(R.OPEN, "1", revived=True) is S.FILLED
    assert after(R.OPEN, "0", revived=False) is ended
    assert after(R.PARTIALLY_FILLED, "0.4", revived=False) is ended


@given(STATUSES, REPORTED, AMOUNTS, st.one_of(st.none(), st.just(ONE)))
def test_denied_and_settled_are_left_alone_and_a_second_look_changes_nothing(
    current: OrderStatus, reported: ReportedStatus | None, seen: Decimal, whole: Decimal | None
) -> None:
    facts = {"reported": reported, "whole_quantity": whole, "seen_quantity": seen}
    first = derive_status(current, **facts)
    if current in {S.DENIED, S.SETTLED}:
        assert first is current
    second = derive_status(first, **facts)
    assert derive_status(second, **facts) is second, "at most two steps"
    if current is not S.REJECTED:
        assert second is first


@given(st.sampled_from([*SENT, S.OPEN, S.PARTIALLY_FILLED, S.CANCELED, S.EXPIRED, S.CLOSED_UNVERIFIED]), REPORTED)
def test_the_whole_quantity_is_filled_whatever_was_said(current: OrderStatus, reported: ReportedStatus | None) -> None:
    for seen in (ONE, Decimal(2)):
        assert derive_status(current, reported=reported, whole_quantity=ONE, seen_quantity=seen) is S.FILLED


@given(st.permutations([(R.OPEN, "0"), (R.PARTIALLY_FILLED, "0.4"), (R.CANCELED, "0.4")]), st.sampled_from(SENT))
def test_reports_in_any_order_end_at_the_same_status(
    reports: list[tuple[ReportedStatus, str]], start: OrderStatus
) -> None:
    """Cumulative quantities only grow and an end is kept, as ingest does."""
    current, said, seen = start, None, Decimal(0)
    for word, cumulative in reports:
        seen = max(seen, Decimal(cumulative))
        said = said if said is not None and said.is_end else word
        current = derive_status(current, reported=said, whole_quantity=ONE, seen_quantity=seen)
    assert current is S.CANCELED


@pytest.mark.parametrize(
    ("current", "reported", "seen", "whole", "after"),
    [
        (S.SUBMITTING, R.OPEN, "0", "1", "open"),
        (S.SUBMITTING, R.OPEN, "0.99", "1", "partially_filled"),
        (S.SUBMITTING, None, "0.99", "1", "partially_filled"),
        (S.SUBMITTING, None, "0", "1", "submitting"),
        (S.SUBMITTING, R.UNRECOGNISED, "0", "1", "submitting"),
        (S.SUBMITTING, R.REJECTED, "0", "1", "rejected"),
        (S.SUBMITTING, R.REJECTED, "0.1", "1", "canceled"),
        (S.SUBMITTING, R.EXPIRED, "0.1", "1", "expired"),
        (S.SUBMIT_UNKNOWN, None, "0", "1", "submit_unknown"),
        (S.SUBMIT_UNKNOWN, R.UNRECOGNISED, "0", "1", "submit_unknown"),
        (S.SUBMIT_UNKNOWN, R.OPEN, "0", "1", "open"),
        (S.OPEN, R.OPEN, "0", "1", "open"),
        (S.OPEN, R.FILLED, "0", "1", "filled"),
        (S.OPEN, R.REJECTED, "0", "1", "rejected"),
        (S.PARTIALLY_FILLED, R.OPEN, "0", "1", "partially_filled"),
        (S.PARTIALLY_FILLED, R.REJECTED, "0", "1", "canceled"),
        (S.PARTIALLY_FILLED, R.CANCELED, "0.5", "1", "canceled"),
        (S.CANCELED, R.CANCELED, "0.5", "1", "canceled"),
        (S.CANCELED, R.EXPIRED, "0.5", "1", "canceled"),
        (S.CANCELED, None, "1", "1", "filled"),
        (S.EXPIRED, R.EXPIRED, "1", "1", "filled"),
        (S.REJECTED, R.REJECTED, "0", "1", "rejected"),
        (S.REJECTED, R.REJECTED, "0.1", "1", "submit_unknown"),
        (S.REJECTED, R.FILLED, "1", "1", "submit_unknown"),
        (S.CLOSED_UNVERIFIED, None, "0", "1", "closed_unverified"),
        (S.CLOSED_UNVERIFIED, R.CANCELED, "0", "1", "canceled"),
        (S.FILLED, R.CANCELED, "1", "1", "filled"),
        (S.SETTLED, R.OPEN, "0", "1", "settled"),
        (S.DENIED, R.FILLED, "1", "1", "denied"),
        # sized in quote: only the exchange knows when it is complete
        (S.OPEN, R.OPEN, "5", None, "partially_filled"),
        (S.OPEN, R.FILLED, "5", None, "filled"),
    ],
)
def test_what_the_facts_call_for(
    current: OrderStatus, reported: ReportedStatus | None, seen: str, whole: str | None, after: str
) -> None:
    assert derive(current, reported, seen, whole) == after
