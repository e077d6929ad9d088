"""Acts in the admin: what a page says, what its POST does, and who is recorded for it."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from execution_project.common import clock, locking
from execution_project.common.actors import Actor
from execution_project.common.locking import ordered
from execution_project.common.models import Approval, Chore, Event
from execution_project.common.rights import EVERYTHING
from orders.flattening import plan_flatten
from orders.killing import judge
from orders.models import Command, CommandKind, Order
from risk.kill_episodes import episode_of
from risk.models import Circuit, FlattenItem, KillEpisode, TradingState
from risk.trading_state import halt, propose_start
from tests.factories import (
    AccountFactory,
    BreakFactory,
    CircuitFactory,
    HoldingFactory,
    InstrumentFactory,
    StrategyFactory,
    lost_order,
    whole_order,
)
from tests.kills import WHY, take_for_proven
from tests.people import client_of, person
from tests.threads import Other

pytestmark = pytest.mark.django_db(transaction=True)
BY = Actor("user:eve", "a test", rights=EVERYTHING)


class Page(HTMLParser):
    """The links and the POST forms of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self.forms: list[dict[str, str]] = []
        self._link: str | None = None
        self._form: dict[str, str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "a":
            self._link = values.get("href", "")
        elif tag == "form" and values.get("method") == "post" and "/acts/" in values.get("action", ""):
            self._form = {"action": values["action"]}
            self.forms.append(self._form)
        elif tag == "input" and self._form is not None and values.get("type") not in {"checkbox", "submit"}:
            self._form[values.get("name", "")] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._link is not None and data.strip():
            self.links[data.strip()] = self._link


def text_of(response: Any) -> str:
    """The page's words, tags left out."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def written() -> tuple[int, ...]:
    """Everything an act could write."""
    models = (Event, Command, TradingState, Approval, OrmQ, Chore, Circuit)
    return tuple(model._default_manager.count() for model in models)


@pytest.fixture
def operator() -> Client:
    """Somebody of operations."""
    return client_of(person("olga", "operations"))


def state(kind: str = "global", key: str = "") -> TradingState:
    return TradingState.objects.get(scope_kind=kind, scope_key=key)


# ------------------------------------------------------------------------------------------------------ kill switch


@pytest.mark.parametrize(
    "page", ["/admin/", "/admin/orders/order/", "/admin/risk/limit/", "/admin/acts/halt", "/admin/password_change/"]
)
def test_two_clicks_from_any_page_kill_everything(page: str) -> None:
    working, pending = whole_order(status="open"), whole_order()
    client = client_of(person("tara", "trader"), enforce_csrf_checks=True)
    first = Page(client.get(page).content.decode()).links["Kill switch"]
    (form,) = Page(client.get(first).content.decode()).forms
    action = form.pop("action")
    response = client.post(action, form, follow=True)
    assert "Killed everything: halted and latched. Asked for the end of 2 orders." in text_of(response)
    assert (state().state, state().latched, state().reason) == ("HALTED", True, "kill switch")
    assert Order.objects.get(id=pending.id).status == "canceled"
    assert Command.objects.get(order=working, kind=CommandKind.CANCEL).requested_by == "user:tara"
    event = Event.objects.get(kind="trading.halted")
    assert (event.actor, event.cause) == ("user:tara", "admin: kill switch")
    assert event.request_id


def test_kill_page_tells_which_orders_it_ends_and_a_scope_only_its_own(operator: Client) -> None:
    mine, other = whole_order(status="open"), whole_order(status="open")
    Order.objects.filter(id=other.id).update(status="settled", ended_as="filled")
    third = whole_order(status="partially_filled")
    everything = operator.get("/admin/acts/kill")
    words = text_of(everything)
    assert "asked to end (2 orders)" in words and "2 working orders" in words
    assert str(mine.id) in everything.content.decode() and str(third.id) in everything.content.decode()
    assert str(other.id) not in everything.content.decode()
    scoped = operator.get(f"/admin/acts/kill?{urlencode({'kind': 'account', 'key': mine.account.name})}")
    assert f"Kill account {mine.account.name} now" in text_of(scoped)
    assert str(third.id) not in scoped.content.decode()
    operator.post(f"/admin/acts/kill?kind=account&key={mine.account.name}", {"reason": "drill"})
    assert state("account", mine.account.name).latched
    assert not TradingState.objects.filter(scope_kind="global").exists()
    assert not Command.objects.filter(order=third, kind=CommandKind.CANCEL).exists()


def test_kill_page_counts_no_further_than_a_hundred(operator: Client) -> None:
    template = whole_order(status="open")
    rows = [
        Order(
            **{
                field.attname: getattr(template, field.attname)
                for field in Order._meta.concrete_fields
                if field.name not in {"id", "idempotency_key"}
            },
            idempotency_key=f"many-{number}",
        )
        for number in range(101)
    ]
    Order.objects.bulk_create(rows)
    words = text_of(operator.get("/admin/acts/kill"))
    assert "100+ working orders" in words and "Only the newest are shown" in words


def test_kill_page_warns_when_nobody_would_carry_out_cancels(operator: Client) -> None:
    AccountFactory(exchange="btcturk")
    words = text_of(operator.get("/admin/acts/kill"))
    assert "The cancel queue of btcturk does not answer (last heard: never)" in words
    assert "The cancel queue of binance" not in words


def test_kill_that_cannot_get_its_lock_says_so_and_that_it_may_be_repeated(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "OWN_STATE_WAITS", "100ms")

    def kill() -> Any:
        return operator.post("/admin/acts/kill", {"reason": "drill"})

    with ordered() as locks:
        locks.share_trading_state(["global"])
        response = Other(kill).join()
    assert isinstance(response, HttpResponse) and response.status_code == 503
    assert "Doing it twice does no harm" in text_of(response)
    assert not TradingState.objects.exists()
    assert operator.post("/admin/acts/kill", {"reason": "drill"}).status_code == 302
    assert state().latched


# ---------------------------------------------------------------------------------------------------- halt and start


def test_halt_and_start_one_account(operator: Client) -> None:
    order = whole_order(status="open")
    name = order.account.name
    scope = f"?kind=account&key={name}"
    assert f"Halt account {name}" in text_of(operator.get(f"/admin/acts/halt{scope}"))
    response = operator.post(f"/admin/acts/halt{scope}", {"reason": "odd fills"}, follow=True)
    assert f"Halted account {name}." in text_of(response)
    assert (state("account", name).state, state("account", name).latched) == ("HALTED", False)
    assert not Command.objects.filter(order=order, kind=CommandKind.CANCEL).exists()
    page = text_of(operator.get(f"/admin/acts/start{scope}"))
    assert "HALTED since" in page and "odd fills" in page
    response = operator.post(f"/admin/acts/start{scope}", {"reason": "explained"}, follow=True)
    assert f"Started account {name}." in text_of(response)
    assert state("account", name).state == "ACTIVE"
    assert list(Event.objects.filter(kind__startswith="trading.").order_by("id").values_list("actor", "cause")) == [
        ("user:olga", "admin: halt"),
        ("user:olga", "admin: start"),
    ]


def test_halt_asks_for_the_end_of_orders_only_when_told_to(operator: Client) -> None:
    order = whole_order(status="open")
    response = operator.post("/admin/acts/halt", {"reason": "storm", "cancel_orders": "on"}, follow=True)
    assert "Halted everything. Asked for the end of 1 order." in text_of(response)
    assert Command.objects.get(order=order, kind=CommandKind.CANCEL).reason == "storm"


def test_start_warns_of_scopes_that_stay_halted(operator: Client) -> None:
    halt("exchange", "btcturk", reason="x", by=BY)
    assert "Still not active, and not changed by this: exchange btcturk." in text_of(operator.get("/admin/acts/start"))


def test_latch_is_lifted_by_a_second_person_only(operator: Client) -> None:
    halt("global", "", reason="kill switch", by=BY, latched=True)
    take_for_proven()
    assert "Your request becomes a proposal" in text_of(operator.get("/admin/acts/start"))
    response = operator.post("/admin/acts/start", {"reason": WHY}, follow=True)
    assert "Nothing is started until another person approves" in text_of(response)
    assert state().latched
    approval = Approval.objects.get()
    decide = reverse("admin:act_decide", args=[approval.id])
    desk = operator.get("/admin/").content.decode()
    assert (WHY in desk, decide in desk) == (True, False), "whoever asked sees it, and is not asked"
    assert decide in client_of(person("ruth", "risk")).get("/admin/").content.decode()

    own = operator.get(decide)
    assert "another person has to decide" in text_of(own) and Page(own.content.decode()).forms == []
    refused = operator.post(decide, {"decision": "approve", "reason": "me too"})
    assert refused.status_code == 403 and "ask a second person" in text_of(refused)
    assert state().latched

    second = client_of(person("rita", "risk"))
    assert WHY in text_of(second.get(decide))
    response = second.post(decide, {"decision": "approve", "reason": "agreed"}, follow=True)
    assert "The latch of global is lifted: it is REDUCE_ONLY." in text_of(response)
    assert (state().state, state().latched) == ("REDUCE_ONLY", False)
    granted = Event.objects.get(kind="approval.granted")
    assert (granted.actor, granted.cause) == ("user:rita", "admin: decide: agreed")
    assert "Approved and carried out." in text_of(second.get(decide))
    assert second.post(decide, {"decision": "approve", "reason": "again"}).status_code == 409


def test_refused_proposal_changes_nothing(operator: Client) -> None:
    halt("global", "", reason="kill switch", by=BY, latched=True)
    take_for_proven()
    operator.post("/admin/acts/start", {"reason": WHY})
    decide = reverse("admin:act_decide", args=[Approval.objects.get().id])
    second = client_of(person("rita", "risk"))
    assert "Refused." in text_of(second.post(decide, {"decision": "refuse", "reason": "not yet"}, follow=True))
    assert state().latched and Approval.objects.get().approved is False
    assert Page(second.get(decide).content.decode()).forms == []


def test_what_somebody_proposed_by_a_command_is_not_theirs_to_decide_in_the_admin(operator: Client) -> None:
    halt("global", "", reason="kill switch", by=BY, latched=True)
    take_for_proven()
    asker = Actor("command:olga", "a test", rights=EVERYTHING)
    approval = propose_start("global", "", reason=WHY, by=asker)
    own = operator.get(reverse("admin:act_decide", args=[approval.id]))
    assert "another person has to decide" in text_of(own) and Page(own.content.decode()).forms == []


def test_lapsed_proposal_has_no_buttons(operator: Client) -> None:
    halt("global", "", reason="kill switch", by=BY, latched=True)
    take_for_proven()
    operator.post("/admin/acts/start", {"reason": WHY})
    now = clock.now()
    Approval.objects.update(requested_at=now - timedelta(hours=2), expires_at=now - timedelta(hours=1))
    approval = Approval.objects.get()
    second = client_of(person("rita", "risk"))
    page = second.get(reverse("admin:act_decide", args=[approval.id]))
    assert "Lapsed" in text_of(page) and Page(page.content.decode()).forms == []


def test_grant_that_was_not_carried_out_can_be_carried_out_again(operator: Client) -> None:
    halt("global", "", reason="kill switch", by=BY, latched=True)
    take_for_proven()
    operator.post("/admin/acts/start", {"reason": WHY})
    now = clock.now()
    Approval.objects.update(decided_by="user:eve", decided_at=now, approved=True)
    decide = reverse("admin:act_decide", args=[Approval.objects.get().id])
    assert "may be tried again" in text_of(operator.get(decide))
    assert operator.post(decide, {"decision": "again", "reason": "retry"}).status_code == 302
    assert state().state == "REDUCE_ONLY"


def test_a_kills_page_shows_what_is_not_proven_and_its_cause_is_put_on_record_there(operator: Client) -> None:
    order = whole_order(status="open")
    response = operator.post(f"/admin/acts/kill?kind=account&key={order.account.name}", {"reason": "x"}, follow=True)
    assert "Killed account" in text_of(response)
    assert "SWEEPING" in text_of(response) and "Its cause is not on record" in text_of(response)
    episode = KillEpisode.objects.get()
    judge(episode)
    page = text_of(operator.get(reverse("admin:risk_killepisode_change", args=[episode.id])))
    assert "not looked at yet" in page and str(order.id) in page
    start = text_of(operator.get(f"/admin/acts/start?kind=account&key={order.account.name}"))
    assert "It cannot be proposed yet" in start and "The sweep is SWEEPING" in start
    cause = reverse("admin:act_kill_cause", args=[episode.id])
    assert "on record with your name" in text_of(operator.get(cause))
    assert operator.post(cause, {"reason": ""}).status_code == 400
    assert "The cause is on record." in text_of(operator.post(cause, {"reason": "a runaway"}, follow=True))
    assert Event.objects.get(kind="kill.cause").actor == "user:olga"


def test_a_flatten_is_shown_as_a_list_and_confirmed_by_it(operator: Client) -> None:
    held = HoldingFactory(asset="BTC", quantity=Decimal("0.3"))
    HoldingFactory(account=held.account, asset="XYZ", quantity=Decimal("5"))
    InstrumentFactory()
    halt("account", held.account.name, reason="x", by=BY, latched=True)
    episode = KillEpisode.objects.get()
    flatten = reverse("admin:act_flatten", args=[episode.id])
    assert operator.get(flatten).status_code == 409, "the kill is not verified"
    take_for_proven("account", held.account.name)
    page = operator.get(flatten)
    assert f"{held.account.name}: 0.3 BTC by BTCUSDT" in text_of(page)
    assert "5 XYZ cannot be sold" in text_of(page)
    assert operator.post(flatten, {"confirm": "0" * 16, "reason": "x"}).status_code == 409
    confirm = plan_flatten(episode_of(episode.id)).confirm
    response = operator.post(flatten, {"confirm": confirm, "reason": "out"}, follow=True)
    assert "is RUNNING" in text_of(response)
    assert set(FlattenItem.objects.values_list("asset", "state")) == {("BTC", "SELLING"), ("XYZ", "LEFT")}


# ------------------------------------------------------------------------------------------------------------ cancels


def test_cancel_of_a_pending_and_of_an_open_order(operator: Client) -> None:
    pending, working = whole_order(), whole_order(status="open")
    page = operator.get(reverse("admin:act_cancel_order", args=[working.id]))
    assert "until then it may still fill" in text_of(page)
    address = reverse("admin:act_cancel_order", args=[pending.id])
    assert operator.post(address, {"reason": "typo"}).status_code == 302
    assert Order.objects.get(id=pending.id).status == "canceled"
    assert operator.post(reverse("admin:act_cancel_order", args=[working.id]), {"reason": "typo"}).status_code == 302
    assert Command.objects.get(order=working, kind=CommandKind.CANCEL).reason == "typo"
    ended = operator.get(address)
    assert "there is nothing to cancel" in text_of(ended) and Page(ended.content.decode()).forms == []


def test_cancel_of_a_scope_leaves_other_scopes_alone(operator: Client) -> None:
    first, second = whole_order(status="open"), whole_order(status="open")
    address = f"/admin/acts/cancel?kind=account&key={first.account.name}"
    assert "Trading is not halted" in text_of(operator.get(address))
    response = operator.post(address, {"reason": "end of day"}, follow=True)
    assert f"Asked for the end of 1 order in account {first.account.name}." in text_of(response)
    assert Command.objects.filter(order=first, kind=CommandKind.CANCEL).exists()
    assert not Command.objects.filter(order=second, kind=CommandKind.CANCEL).exists()
    assert not TradingState.objects.exists()


@pytest.mark.parametrize("kind", ["exchange", "strategy", "symbol"])
def test_every_kind_of_scope_finds_its_orders(operator: Client, kind: str) -> None:
    order = whole_order(status="open", strategy=StrategyFactory(name="alpha"))
    key = {"exchange": "binance", "strategy": "alpha", "symbol": "BTCUSDT"}[kind]
    page = operator.get(f"/admin/acts/cancel?kind={kind}&key={key}")
    assert str(order.id) in page.content.decode()
    elsewhere = {"exchange": "btcturk", "strategy": StrategyFactory().name, "symbol": "ETHUSDT"}[kind]
    InstrumentFactory(base_asset="ETH")
    page = operator.get(f"/admin/acts/cancel?kind={kind}&key={elsewhere}")
    assert "there is nothing to cancel" in text_of(page)


# --------------------------------------------------------------------------------------------------------------- sync


def test_sync_rings_chores_once_and_shows_how_far_they_are(operator: Client) -> None:
    account = AccountFactory()
    address = reverse("admin:act_sync", args=[account.pk])
    assert "never asked" in text_of(operator.get(address))
    answers = {"facts": ["balances", "orders"], "reason": "numbers look odd"}
    response = operator.post(address, answers, follow=True)
    assert "Asked for balances, orders." in text_of(response) and "under way" in text_of(response)
    assert OrmQ.objects.filter(key="housekeeping-binance").count() == 2
    response = operator.post(address, answers, follow=True)
    assert "Nothing new was asked for. Under way already: balances, orders." in text_of(response)
    assert OrmQ.objects.filter(key="housekeeping-binance").count() == 2
    event = Event.objects.filter(kind="account.sync_requested").earliest("id")
    assert (event.actor, event.subject_id) == ("user:olga", account.name)
    assert event.evidence == {
        "facts": ["balances", "orders"],
        "rung": ["balances", "orders"],
        "reason": "numbers look odd",
    }
    Chore.objects.filter(name=f"balances:{account.pk}").update(finished_at=clock.now(), error="ReadFailed: <b>no</b>")
    page = operator.get(reverse("admin:live_chores", args=[account.pk])).content.decode()
    assert "failed" in page and "ReadFailed: &lt;b&gt;no&lt;/b&gt;" in page


def test_sync_wants_something_to_fetch_and_an_exchange(operator: Client) -> None:
    address = reverse("admin:act_sync", args=[AccountFactory().pk])
    response = operator.post(address, {"reason": "x"})
    assert response.status_code == 400 and "Choose at least one." in text_of(response)
    young = AccountFactory(books_opened_at=None)
    address = reverse("admin:act_sync", args=[young.pk])
    assert "reconciled trades" not in text_of(operator.get(address))
    assert operator.post(address, {"reason": "x", "facts": ["reconciled_trades"]}).status_code == 400
    assert not OrmQ.objects.exists()
    paper = AccountFactory(mode="paper", rest_url="")
    address = reverse("admin:act_sync", args=[paper.pk])
    assert operator.post(address, {"facts": ["balances"], "reason": "x"}).status_code == 302, (
        "an exchange like any other"
    )
    assert OrmQ.objects.count() == 1


# --------------------------------------------------------------------------------------------------- what all have


def _addresses() -> list[str]:
    order, account = whole_order(status="open"), AccountFactory()
    halt("exchange", "btcturk", reason="x", by=BY, latched=True)
    approval = Approval.objects.create(
        act="lift_latch",
        subject="exchange:btcturk",
        parameters={"kind": "exchange", "key": "btcturk"},
        reason="x",
        requested_by="user:eve",
        requested_at=clock.now(),
        expires_at=clock.now() + timedelta(hours=1),
    )
    scopes = [reverse(f"admin:act_{act}") for act in ("halt", "start", "kill", "cancel_scope")]
    return [
        *scopes,
        reverse("admin:act_cancel_order", args=[order.id]),
        reverse("admin:act_resolve_order", args=[lost_order().id]),
        reverse("admin:act_acknowledge_break", args=[BreakFactory().id]),
        reverse("admin:act_resolve_break", args=[BreakFactory().id]),
        reverse("admin:act_close_circuit", args=[CircuitFactory().pk]),
        reverse("admin:act_sync", args=[account.pk]),
        reverse("admin:act_decide", args=[approval.id]),
    ]


def test_reading_a_page_changes_nothing_and_a_post_needs_its_token_and_a_reason() -> None:
    addresses = _addresses()
    root = person("olga", "operations")
    before = written()
    guarded, client = client_of(root, enforce_csrf_checks=True), client_of(root)
    answers = {"facts": "orders", "decision": "approve", "cancel_orders": "on", "outcome": "rejected", "owner": "olga"}
    for address in addresses:
        assert client.get(address).status_code == 200
        assert client.head(address).status_code == 200
        assert guarded.post(address, {**answers, "reason": "x"}).status_code == 403
        for reason in ("", "   ", "x" * 257, "a\0b"):
            response = client.post(address, {**answers, "reason": reason})
            assert response.status_code == 400, (address, reason)
        assert client.put(address).status_code == 405
    assert written() == before


def test_a_person_without_the_right_gets_a_page_in_words_and_changes_nothing() -> None:
    addresses = _addresses()
    before = written()
    client = client_of(person("ada", "auditor"))
    for address in addresses:
        for response in (client.get(address), client.post(address, {"reason": "x", "facts": "orders"})):
            assert response.status_code == 403
            assert "user:ada may not do this: the right" in text_of(response)
    assert written() == before


@pytest.mark.parametrize(
    "query",
    ["kind=account&key=nobody", "kind=planet&key=mars", "key=main", "kind=global&key=x", "kind=symbol", "kind=account"],
)
def test_an_unknown_scope_is_never_taken_for_everything(operator: Client, query: str) -> None:
    for act in ("halt", "start", "kill", "cancel"):
        response = operator.post(f"/admin/acts/{act}?{query}", {"reason": "x"})
        assert response.status_code == 404
        assert "There is no" in text_of(response)
    assert not TradingState.objects.exists()


def test_what_does_not_exist_is_said_in_words(operator: Client) -> None:
    nothing = "01990000-0000-7000-8000-000000000000"
    acts = ("cancel/{}", "decide/{}", "resolve/{}", "break/{}/take", "break/{}/end", "sync/987654", "circuit/987654")
    for address in (f"/admin/acts/{act.format(nothing)}" for act in acts):
        response = operator.get(address)
        assert response.status_code == 404 and "There is no" in text_of(response)
