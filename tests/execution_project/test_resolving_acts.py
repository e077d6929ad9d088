"""Acts in the admin that end what is unknown, what differs and what is stopped; severe ones by two persons."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from execution_project.back_office.acts import ROUNDS_SHOWN
from execution_project.common.models import Approval, Event
from orders.models import AbsenceEvidence, Break, Order
from orders.resolving import NEWEST_ROUNDS, propose_resolution, unknown_order
from positions.models import Holding
from risk.models import Circuit, Reservation
from tests.factories import BY, AbsenceEvidenceFactory, BreakFactory, CircuitFactory, lost_order, whole_order
from tests.people import client_of, person

pytestmark = pytest.mark.django_db(transaction=True)
REASON = "the exchange's support says so"


@pytest.fixture
def operator() -> Client:
    """Somebody of operations."""
    return client_of(person("olga", "operations"))


@pytest.fixture
def second() -> Client:
    """Somebody else, who may approve."""
    return client_of(person("rita", "risk"))


def text_of(response: Any) -> str:
    """The page's words, tags left out."""
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))
    return text.replace("&#x27;", "'")


def decide(client: Client, decision: str = "approve") -> Any:
    """The page of the only proposal, and what follows the decision."""
    address = reverse("admin:act_decide", args=[Approval.objects.get().id])
    page = text_of(client.get(address))
    return page, text_of(client.post(address, {"decision": decision, "reason": "looked at it too"}, follow=True))


# ------------------------------------------------------------------------------------------------------ unknown orders


def test_two_persons_end_an_unknown_order_and_both_see_the_evidence(operator: Client, second: Client) -> None:
    order = lost_order()
    row = order.exchange_orders.get()
    address = reverse("admin:act_resolve_order", args=[order.id])
    assert "No round of looking for it was asked yet." in text_of(operator.get(address))
    AbsenceEvidenceFactory(exchange_order=row, at=0)
    AbsenceEvidenceFactory(exchange_order=row, at=40, verdict="doubtful", detail="5 USDT is locked for no order")
    page = text_of(operator.get(address))
    for said in (
        "no: worthless by what was seen later",
        "5 USDT is locked for no order",
        "open orders: HTTP 200, 2 characters",
        row.client_order_id,
        "As rejected: The order ends rejected: the exchange never accepted it.",
        "As canceled: The order ends canceled, filled 0",
    ):
        assert said in page, said
    assert "still looking for it" not in page
    response = operator.post(address, {"outcome": "rejected", "reason": REASON}, follow=True)
    assert "Nothing ends until another person approves." in text_of(response)
    assert Order.objects.get().status == "submit_unknown"
    assert "user:olga has proposed this already" in text_of(operator.get(address))

    own, refused = decide(operator)
    assert "another person has to decide" in own
    assert "ask a second person" in refused
    page, said = decide(second)
    for words in (
        "The order ends rejected: the exchange never accepted it.",
        "What is reserved for it is released",
        "Should the exchange show it after all, its word counts",
        "5 USDT is locked for no order",
        REASON,
    ):
        assert words in page, words
    assert f"Order {order.id} was resolved by hand and is rejected." in said
    order = Order.objects.get()
    assert (order.status, order.reason, order.detail) == ("rejected", "RESOLVED_BY_HAND", REASON)
    assert not Reservation.objects.exclude(amount=0).exists()
    event = Event.objects.get(kind="order.resolved_by_hand")
    assert (event.actor, event.evidence["proposed_by"]) == ("user:rita", "user:olga")


def test_an_order_that_worked_can_only_be_stated_canceled(operator: Client, second: Client) -> None:
    order = whole_order(status="closed_unverified")
    address = reverse("admin:act_resolve_order", args=[order.id])
    response = operator.post(address, {"outcome": "rejected", "reason": REASON})
    assert response.status_code == 400
    assert "Not possible here." in text_of(response)
    assert "Say how it ended." in text_of(operator.post(address, {"reason": REASON}))
    assert not Approval.objects.exists()
    assert operator.post(address, {"outcome": "canceled", "reason": REASON}).status_code == 302
    page, said = decide(second)
    assert "The order ends canceled, filled 0: it worked and works no more." in page
    assert "is canceled." in said
    assert Order.objects.get().status == "canceled"


def test_an_order_of_known_fate_has_nothing_to_resolve(operator: Client) -> None:
    order = whole_order(status="open")
    address = reverse("admin:act_resolve_order", args=[order.id])
    page = operator.get(address)
    assert "Nothing about this order is unknown." in text_of(page)
    assert b'name="outcome"' not in page.content
    assert operator.post(address, {"outcome": "rejected", "reason": REASON}).status_code == 400
    assert not Approval.objects.exists()


def test_a_proposal_that_the_exchange_has_overtaken_says_so_before_anybody_decides(second: Client) -> None:
    order = lost_order()
    propose_resolution(order.id, "rejected", REASON, BY)
    Order.objects.update(status="open")
    order.commands.update(status="done")
    page, said = decide(second)
    assert "Nothing, it will be refused: The order is open and nothing about it is unknown." in page
    assert "nothing about it is unknown" in said
    assert Order.objects.get().status == "open"


# -------------------------------------------------------------------------------------------------------------- breaks


def test_an_open_break_gets_an_owner(operator: Client) -> None:
    row = BreakFactory()
    address = reverse("admin:act_acknowledge_break", args=[row.id])
    assert 'value="olga"' in operator.get(address).content.decode()
    response = operator.post(address, {"owner": "", "reason": "mine"})
    assert response.status_code == 400
    response = operator.post(address, {"owner": "night desk", "reason": "mine"}, follow=True)
    assert "night desk looks after it." in text_of(response)
    row = Break.objects.get()
    assert (row.status, row.owner) == ("acknowledged", "night desk")
    event = Event.objects.get(kind="break.acknowledged")
    assert (event.actor, event.cause) == ("user:olga", "admin: acknowledge break: mine")


def test_one_person_ends_a_mild_break(operator: Client) -> None:
    row = BreakFactory(order=whole_order())
    address = reverse("admin:act_resolve_break", args=[row.id])
    page = text_of(operator.get(address))
    assert "It ends at once, with your reason." in page
    assert "No books change" in page
    assert operator.post(address, {"reason": "too short"}).status_code == 400
    assert "The break is resolved." in text_of(operator.post(address, {"reason": REASON}, follow=True))
    assert (Break.objects.get().status, Break.objects.get().resolution) == ("resolved", REASON)
    for act in ("act_resolve_break", "act_acknowledge_break"):
        again = operator.get(reverse(f"admin:{act}", args=[row.id]))
        assert "It has ended" in text_of(again)
        assert b'name="reason"' not in again.content
    assert operator.post(address, {"reason": REASON}).status_code == 409


def test_two_persons_end_a_balance_mismatch_and_see_what_it_books(operator: Client, second: Client) -> None:
    row = BreakFactory(kind="balance_mismatch", severity="blocking", subject="USDT", difference=Decimal(5))
    address = reverse("admin:act_resolve_break", args=[row.id])
    books = f"5 USDT is booked as a transfer, so that the books of {row.account.name} hold what the exchange showed."
    assert f"When they approve: {books}" in text_of(operator.get(address))
    response = operator.post(address, {"reason": "a deposit by the treasury"}, follow=True)
    assert "Nothing ends until another person approves." in text_of(response)
    assert (Break.objects.get().status, Holding.objects.count()) == ("open", 0)
    assert "has proposed this already" in text_of(operator.get(address))
    page, said = decide(second)
    assert books in page
    assert "It no longer keeps the account's exposure from growing" in page
    assert "Its difference is booked as a transfer." in said
    assert (Break.objects.get().status, Holding.objects.get().quantity) == ("resolved", Decimal(5))


@pytest.mark.parametrize("decision", ["approve", "refuse"])
def test_a_proposal_for_another_difference_is_told_and_books_nothing(
    operator: Client, second: Client, decision: str
) -> None:
    row = BreakFactory(kind="balance_mismatch", subject="USDT", difference=Decimal(5))
    operator.post(reverse("admin:act_resolve_break", args=[row.id]), {"reason": REASON})
    Break.objects.update(difference=Decimal(6))
    page, said = decide(second, decision)
    assert "the difference was 5 when this was proposed and is 6 now" in page
    assert ("look at it and propose again" in said) is (decision == "approve")
    assert (Break.objects.get().status, Holding.objects.count()) == ("open", 0)


def test_a_suspicion_is_no_break_yet(operator: Client) -> None:
    row = BreakFactory(status="suspected")
    for act in ("act_resolve_break", "act_acknowledge_break"):
        assert operator.get(reverse(f"admin:{act}", args=[row.id])).status_code == 404


# ------------------------------------------------------------------------------------------------------------ circuits


def test_a_circuit_is_closed_for_its_symbol_alone(operator: Client) -> None:
    first, _ = CircuitFactory(), CircuitFactory()
    other = CircuitFactory(symbol="ETHUSDT")
    address = reverse("admin:act_close_circuit", args=[first.pk])
    page = text_of(operator.get(address))
    assert "WOULD_MATCH, 3 times in a row" in page
    assert "three more refusals open it again" in page
    response = operator.post(address, {"reason": "the client is mended"}, follow=True)
    assert "BTCUSDT trades on main again." in text_of(response)
    assert list(Circuit.objects.all()) == [other]
    event = Event.objects.get(kind="circuit.closed")
    assert (event.actor, event.evidence["reason"]) == ("user:olga", "the client is mended")
    assert operator.get(address).status_code == 404


def test_a_circuit_that_only_counts_has_nothing_to_close(operator: Client) -> None:
    row = CircuitFactory(refusals=2, open_until=None)
    page = operator.get(reverse("admin:act_close_circuit", args=[row.pk]))
    assert "It is not open" in text_of(page)
    assert b'name="reason"' not in page.content


def test_of_many_rounds_the_newest_are_read_and_answers_of_those_that_are_shown(operator: Client) -> None:
    order = lost_order()
    row = order.exchange_orders.get()
    body = "x" * 100
    answers = [{"call": "open_orders", "path": "/o", "http_status": 200, "error": "", "characters": 100, "body": body}]
    address = reverse("admin:act_resolve_order", args=[order.id])
    rounds, counts = [], []
    for more in (2, NEWEST_ROUNDS + 3):
        new = AbsenceEvidenceFactory.build_batch(more, exchange_order=row, order=order, answers=answers)
        rounds += AbsenceEvidence.objects.bulk_create(new)
        operator.get(address)
        with CaptureQueriesContext(connection) as queries:
            page = text_of(operator.get(address))
        counts.append(len(queries))
    assert page.count("open orders: HTTP 200, 100 characters") == ROUNDS_SHOWN
    assert counts[0] == counts[1], "one statement for the answers, however many rounds"
    unknown = unknown_order(order)
    assert unknown is not None
    assert [past.id for past in unknown.rounds] == sorted(past.id for past in rounds)[5:]
    assert all("answers" in past.get_deferred_fields() for past in unknown.rounds)
