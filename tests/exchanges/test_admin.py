"""Accounts and the other rows of the outside in the admin; secrets go in and never come out."""

from __future__ import annotations

import base64
import logging
import re
import secrets
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from exchanges.accounts import AccountRefused, replace_credentials
from exchanges.credentials import credentials_of
from exchanges.models import (
    Account,
    Balance,
    HostClock,
    HostPause,
    PaperAccount,
    PaperBalance,
    PaperBook,
    PaperFlow,
    PaperOrder,
    PaperTrade,
    PublicPrint,
    Quote,
)
from exchanges.paper.engine import MODEL
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from tests.exchanges.paper.floors import Venue
from tests.factories import BY, AccountFactory, BalanceFactory, InstrumentFactory, QuoteFactory
from tests.staff import same_queries, signed_in, text_of

pytestmark = pytest.mark.django_db
ADD = "/admin/exchanges/account/add/"
LIST = "/admin/exchanges/account/"


@pytest.fixture
def administrator() -> Client:
    """Somebody who may manage accounts."""
    return signed_in("administrator")


def fields(**values: str) -> dict[str, str]:
    return {
        "name": "main",
        "exchange": "binance",
        "mode": "sandbox",
        "rest_url": "http://127.0.0.1:9",
        "ws_url": "",
        "key": "K" + secrets.token_hex(16),
        "secret": "S" + secrets.token_hex(16),
        **values,
    }


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 400
    return {name: list(found) for name, found in answer.context["form"].errors.items()}


def test_an_account_is_added_with_what_was_typed_and_found_by_its_key(administrator: Client) -> None:
    typed = fields(name="desk-1", ws_url="ws://127.0.0.1:9/stream")
    answer = administrator.post(ADD, typed)
    account = Account.objects.get()
    assert answer.status_code == 302
    assert answer["Location"] == f"{LIST}{account.pk}/change/"
    assert (account.name, account.exchange, account.mode, account.rest_url, account.ws_url) == (
        *("desk-1", "binance", "sandbox", "http://127.0.0.1:9", "ws://127.0.0.1:9/stream"),
    )
    opened = credentials_of(account)
    assert (opened.key, opened.secret) == (typed["key"], typed["secret"])
    assert f"…{typed['key'][-4:]}" in text_of(administrator.get(answer["Location"]))
    event = Event.objects.get(kind="account.created")
    assert (event.actor, event.subject_id) == ("user:mira", "desk-1")


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"rest_url": "https://api.binance.com"}, "rest_url", "may not reach https://api.binance.com"),
        ({"mode": "live"}, "rest_url", "is a live account and may not reach"),
        ({"ws_url": "wss://stream.binance.com:9443"}, "ws_url", "may not reach wss://stream.binance.com:9443"),
        ({"mode": "paper"}, "rest_url", "paper account has no host"),
        ({"name": "two words"}, "name", "no blanks"),
        ({"name": "taken"}, "name", "There is an account taken already"),
        ({"name": ""}, "name", "required"),
        ({"exchange": "kraken"}, "exchange", "not one of the available choices"),
        ({"key": ""}, "key", "The key is missing"),
        ({"secret": ""}, "secret", "The secret is missing"),
        ({"secret": "has a blank"}, "secret", "has a blank"),
        ({"exchange": "btcturk", "secret": "not-base64!"}, "secret", "base64"),
        ({"rest_url": "http://127.0.0.1:9/" + "x" * 300}, "rest_url", "at most 200 characters"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    administrator: Client, values: dict[str, str], field: str, words: str
) -> None:
    AccountFactory(name="taken")
    found = errors(administrator.post(ADD, fields(**values)))
    assert words in " ".join(found[field])
    assert list(Account.objects.values_list("name", flat=True)) == ["taken"]
    assert not Event.objects.filter(kind="account.created").exists()


def test_a_paper_account_needs_no_host_and_no_key(administrator: Client) -> None:
    administrator.post(ADD, fields(mode="paper", rest_url="", key="", secret=""))
    assert Account.objects.get().mode == "paper"


def test_secrets_are_on_no_page_in_no_event_and_no_log(administrator: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    first, second, refused = fields(), fields(), fields(name="two words")
    pages = [administrator.post(ADD, refused).content.decode()]
    pages.append(administrator.post(ADD, first, follow=True).content.decode())
    account = Account.objects.get()
    url = f"{LIST}{account.pk}/credentials/"
    pages.append(administrator.get(url).content.decode())
    pages.append(administrator.post(url, {"key": second["key"], "secret": "a blank"}).content.decode())
    pages.append(
        administrator.post(url, {"key": second["key"], "secret": second["secret"]}, follow=True).content.decode()
    )
    pages += [administrator.get(page).content.decode() for page in (LIST, ADD, f"{LIST}{account.pk}/change/")]
    pages += [
        administrator.get(f"/admin/common/event/{row.pk}/change/").content.decode() for row in Event.objects.all()
    ]
    stored = []
    with connection.cursor() as cursor:
        for model in (model for model in apps.get_models() if model._meta.managed):
            cursor.execute(f"SELECT t::text FROM {connection.ops.quote_name(model._meta.db_table)} t")
            stored += [row[0] for row in cursor.fetchall()]
    text = "\n".join([*pages, *stored, caplog.text, *(str(entry.change_message) for entry in LogEntry.objects.all())])
    for typed in (first, second, refused):
        for name in ("key", "secret"):
            assert typed[name] not in text
            assert typed[name].encode().hex() not in text
            assert base64.b64encode(typed[name].encode()).decode() not in text
    for page in pages:
        assert 'type="password" value' not in page


def test_replacing_credentials(administrator: Client) -> None:
    account = AccountFactory()
    typed = fields()
    url = f"{LIST}{account.pk}/credentials/"
    answer = administrator.post(url, {"key": typed["key"], "secret": typed["secret"]})
    assert answer["Location"] == f"{LIST}{account.pk}/change/"
    changed = Account.objects.get()
    assert credentials_of(changed).secret == typed["secret"]
    event = Event.objects.get(kind="account.credentials_replaced")
    assert event.evidence == {"key_tail_before": account.api_key_tail, "key_tail": typed["key"][-4:]}
    assert (changed.mode, changed.exchange, changed.rest_url) == (account.mode, account.exchange, account.rest_url)


def test_credentials_that_cannot_be_are_refused_and_the_old_ones_stay() -> None:
    account = AccountFactory()
    with pytest.raises(AccountRefused, match="missing"):
        replace_credentials(account, "", "x", by=BY)
    with pytest.raises(Problem) as caught:
        replace_credentials(AccountFactory(mode="paper", rest_url=""), "k", "s", by=BY)
    assert caught.value.code == "NO_CREDENTIALS"
    with pytest.raises(Problem) as caught:
        replace_credentials(account, "k", "s", by=Actor("user:otto", "test"))
    assert caught.value.status == 403
    assert credentials_of(Account.objects.get(pk=account.pk)).secret == "a-secret"


@pytest.mark.parametrize("group", ["auditor", "trader", "risk", "operations"])
def test_only_administrators_make_accounts(group: str) -> None:
    account = AccountFactory()
    client = signed_in(group)
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, fields()).status_code == 403
    url = f"{LIST}{account.pk}/credentials/"
    assert client.get(url).status_code == 403
    assert client.post(url, {"key": "k", "secret": "s"}).status_code == 403
    assert Account.objects.count() == 1
    page = text_of(client.get(f"{LIST}{account.pk}/change/"))
    assert url not in page
    assert "api_key_sealed" not in page


def test_market_orders_are_switched_to_limit_ioc_and_refused_where_there_is_none(administrator: Client) -> None:
    account, other = AccountFactory(), AccountFactory(exchange="btcturk")
    asked = {"sent_as": "LIMIT IOC", "reason": "thin books"}
    assert "Market orders" in text_of(administrator.get(f"{LIST}{account.pk}/change/"))
    assert administrator.post(f"{LIST}{account.pk}/market-orders/", asked).status_code == 302
    assert Account.objects.get(pk=account.pk).market_as_limit_ioc
    event = Event.objects.get(kind="account.market_as_limit_ioc_set")
    assert event.evidence == {"was": False, "is": True, "reason": "thin books"}
    refused = administrator.post(f"{LIST}{other.pk}/market-orders/", asked)
    assert (refused.status_code, "knows no IOC" in refused.content.decode()) == (400, True)
    assert not Account.objects.get(pk=other.pk).market_as_limit_ioc
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.filter(pk=other.pk).update(market_as_limit_ioc=True)


def test_nothing_else_about_an_account_can_be_changed(administrator: Client) -> None:
    account = AccountFactory()
    for url in (f"{LIST}{account.pk}/change/", f"{LIST}{account.pk}/delete/"):
        assert administrator.post(url, {"mode": "live", "post": "yes"}).status_code == 403
    assert Account.objects.get().mode == "sandbox"


def test_the_accounts_page_shows_its_host_and_its_balances(administrator: Client) -> None:
    account = AccountFactory()
    BalanceFactory(account=account, asset="BTC")
    HostClock.objects.create(host="127.0.0.1:9", offset_ms=-12, round_trip_ms=3, sampled_at=clock.now())
    HostPause.objects.create(
        host="127.0.0.1:9", until=clock.now() + timedelta(minutes=1), reason="<b>HTTP 429</b>", banned=False
    )
    text = text_of(administrator.get(f"{LIST}{account.pk}/change/"))
    for said in ("-12 ms", "&lt;b&gt;HTTP 429&lt;/b&gt;", "BTC", "1000", f"/admin/acts/sync/{account.pk}"):
        assert said in text, said
    for act in ("halt", "start"):
        assert f"/admin/acts/{act}?kind=account&amp;key={account.name}" in text


def test_lists_take_the_same_statements_however_many_rows(administrator: Client) -> None:
    account = AccountFactory()
    assets = iter(range(1000))

    def make() -> None:
        n = next(assets)
        instrument = InstrumentFactory(base_asset=f"A{n}")
        QuoteFactory(instrument=instrument)
        BalanceFactory(account=account, asset=f"A{n}")
        HostClock.objects.create(host=f"h{n}", offset_ms=1, round_trip_ms=1, sampled_at=clock.now())
        HostPause.objects.create(host=f"h{n}", until=clock.now(), reason="x")
        AccountFactory()

    for _ in range(3):
        make()
    for model in (Account, Balance, HostClock, HostPause, Quote):
        url = reverse(f"admin:exchanges_{model._meta.model_name}_changelist")
        assert same_queries(administrator, url, make) <= 16, url
    assert same_queries(administrator, "/admin/exchanges/instrument/", make) <= 16


def test_an_instrument_is_found_by_symbol_in_any_case(administrator: Client) -> None:
    instrument = InstrumentFactory()
    QuoteFactory(instrument=instrument)
    for text, count in {"btcusdt": 1, "BTC": 1, "BT": 0}.items():
        assert administrator.get("/admin/exchanges/instrument/", {"q": text}).context["cl"].result_count == count
    page = text_of(administrator.get(f"/admin/exchanges/instrument/{instrument.pk}/change/"))
    assert "60000 / 60010" in page
    assert "stepSize" in page


def test_the_paper_exchange_shows_its_terms_orders_balances_and_what_was_taken_of_its_book() -> None:
    venue = Venue(tiers={"asset": "USDT", "steps": [["100", "0.0005", "0.0008"]]})
    with clock.using(venue.clock):
        venue.place("BUY", "MARKET", "1.5")
        order = venue.place("BUY", "LIMIT", "1", "99")
    desk = signed_in("auditor")
    page = text_of(desk.get(reverse("admin:exchanges_paperaccount_change", args=[venue.account.pk])))
    for words in (
        f"Paper exchange of {venue.account.name}",
        MODEL,
        "set_paper_terms",
        "in front of it",
        "#2",
        "Fee tiers",
        "0.0008",
    ):
        assert words in page, words
    book = PaperBook.objects.get()
    page = text_of(desk.get(reverse("admin:exchanges_paperbook_change", args=[book.pk])))
    assert "102 2 0.5 1.5" in " ".join(re.sub("<[^>]*>", " ", page).split()), "price, shown, taken, left"
    for name, pk in (("paperorder", order.pk), ("papertrade", PaperTrade.objects.first().pk)):  # type: ignore[union-attr]
        answer = desk.get(reverse(f"admin:exchanges_{name}_change", args=[pk]))
        assert answer.status_code == 200
    assert MODEL in text_of(answer)
    account = desk.get(reverse("admin:exchanges_account_change", args=[venue.account.pk])).content.decode()
    assert reverse("admin:exchanges_paperaccount_change", args=[venue.account.pk]) in account
    boss = signed_in("administrator", name="bo")
    for model in (PaperAccount, PaperBalance, PaperBook, PaperFlow, PaperOrder, PaperTrade, PublicPrint):
        name = f"admin:exchanges_{model._meta.model_name}"
        assert desk.get(reverse(f"{name}_changelist")).status_code == 200
        assert boss.get(reverse(f"{name}_add")).status_code == 403
    change = reverse("admin:exchanges_paperaccount_change", args=[venue.account.pk])
    assert boss.post(change, {"maker_rate": "0"}).status_code == 403


def test_a_list_leads_to_its_own_rows_says_the_mode_and_cuts_long_amounts(administrator: Client) -> None:
    paper = AccountFactory(name="p", mode="paper", rest_url="")
    row = BalanceFactory(account=paper, asset="BTC", free="0.1234567890123")
    page = text_of(administrator.get("/admin/exchanges/balance/"))
    own = reverse("admin:exchanges_balance_change", args=[row.pk])
    first = page.split(f'href="{own}', 1)[1].split("</a>", 1)[0]
    assert ">p <" in first and ">paper<" in first, "the mode is told beside the account"
    assert reverse("admin:exchanges_account_change", args=[paper.pk]) not in page
    assert '<span title="0.1234567890123">0.12345678</span>' in page
    assert "0.1234567890123" in text_of(administrator.get(own))
