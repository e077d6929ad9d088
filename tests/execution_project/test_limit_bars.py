"""The desk's bars of usage against limits, and its inbox of approvals."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from execution_project.back_office.inbox import read_inbox
from execution_project.back_office.limit_bars import read_bars
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.models import ApiKey, Approval
from execution_project.common.rights import EVERYTHING, Right
from risk.limits import tighten_or_set
from tests.factories import (
    BY,
    AccountFactory,
    HoldingFactory,
    InstrumentFactory,
    QuoteFactory,
    StrategyFactory,
    api_key,
)
from tests.people import client_of, person

pytestmark = pytest.mark.django_db
D = Decimal


def limit(control: str, kind: str, key: str, value: str, enforcement: str = "BLOCK") -> None:
    tighten_or_set(control, "sandbox", kind, key, D(value), reason="x", by=BY, enforcement=enforcement)


@pytest.fixture
def held(db: None) -> None:
    """2,000 in one account and strategy."""
    account, mine = AccountFactory(name="own"), StrategyFactory(name="mine")
    QuoteFactory(instrument=InstrumentFactory(base_asset="ETH", symbol="ETHUSDT"), bid=D(1999), ask=D(2001))
    HoldingFactory(account=account, asset="ETH", quantity=D(1), strategy=mine)


@pytest.mark.parametrize(
    ("value", "tone", "words", "percent", "width"),
    [
        ("4001", "good", "room", "50 %", "50"),
        ("4000", "info", "over half", "50 %", "50"),
        ("2501", "info", "over half", "80 %", "80"),
        ("2500", "warning", "nearly full", "80 %", "80"),
        ("2000.4", "warning", "nearly full", "100 %", "100"),
        ("2000.000001", "warning", "nearly full", "100 %", "100"),
        ("2000", "danger", "full", "100 %", "100"),
        ("1999", "danger", "beyond", "100.1 %", "100"),
        ("1000", "danger", "beyond", "200 %", "100"),
        ("0", "danger", "beyond", "no room", "100"),
    ],
)
def test_colour_and_words_change_at_50_80_and_100_percent(
    held: None, value: str, tone: str, words: str, percent: str, width: str
) -> None:
    limit("max_gross_exposure", "account", "own", value)
    (bar,) = read_bars().fullest
    assert (bar.tone, bar.words, bar.percent, bar.width) == (tone, words, percent, width)


def test_an_empty_limit_of_zero_is_full(db: None) -> None:
    limit("max_working_orders", "global", "", "0")
    (bar,) = read_bars().fullest
    assert (bar.words, bar.width, bar.used, bar.value) == ("full", "100", "0", "0 orders")


def test_a_ramp_shows_what_counts_and_of_how_much_it_is_a_part(held: None) -> None:
    limit("max_gross_exposure", "account", "own", "10000")
    limit("ramp", "account", "own", "0.25")
    (bar,) = read_bars().fullest
    assert (bar.percent, bar.words, bar.left) == ("80 %", "nearly full", "500.00")
    assert bar.value == "2,500.00 USDT (ramp: in part of 10,000.00)"


def test_the_fullest_come_first_and_every_scope_has_its_group(held: None) -> None:
    limit("max_order_notional", "global", "", "5")
    for kind, key, value in (
        *(("global", "", "20000"), ("exchange", "binance", "8000"), ("account", "own", "2500")),
        *(("strategy", "mine", "4000"),),
    ):
        limit("max_gross_exposure", kind, key, value)
        limit("max_net_exposure", kind, key, str(int(value) * 2), "WARN")
    bars = read_bars()
    assert [(bar.scope, bar.percent) for bar in bars.fullest] == [
        ("account:own", "80 %"),
        ("strategy:mine", "50 %"),
        ("account:own", "40 %"),
        ("exchange:binance", "25 %"),
        ("strategy:mine", "25 %"),
    ]
    assert bars.tone == "warning"
    assert [(group.title, len(group.bars)) for group in bars.groups] == [
        ("everything", 2),
        ("exchange:binance", 2),
        ("account:own", 2),
        ("strategy:mine", 2),
    ]
    html = client_of(person("ada", "auditor")).get("/admin/").content.decode()
    panel = html.split('id="limits"', 1)[1].split("</section>", 1)[0]
    assert 'aria-label="max gross exposure, account:own, sandbox: 80 % used, nearly full"' in panel
    assert "2,000.00 of 2,500.00 USDT, 500.00 left" in panel
    assert panel.count("<svg") == 5 + 8 and ">WARN<" in panel
    assert "style=" not in panel and "<script" not in panel
    assert "Set a limit" not in panel


def test_what_is_not_known_is_said_and_never_drawn_as_empty(held: None) -> None:
    HoldingFactory(account=AccountFactory(name="other"), asset="NOPRICE", quantity=D(1))
    limit("max_gross_exposure", "account", "other", "100")
    limit("max_asset_exposure", "global", "", "100")
    bars = read_bars()
    assert (bars.fullest, bars.groups) == ([], [])
    assert bars.unknown == [
        "max asset exposure (NOPRICE) of global, sandbox",
        "max gross exposure of account:other, sandbox",
    ]
    html = client_of(person("ada", "auditor")).get("/admin/").content.decode()
    assert "Usage not known" in html


def test_bars_ask_as_much_for_many_limits_as_for_few(held: None) -> None:
    limit("max_turnover_1d", "global", "", "10")
    asked = []
    for more in (False, True):
        if more:
            for control in ("max_turnover_1h", "max_order_rate_60s", "max_gross_exposure", "max_working_orders"):
                for kind, key in (("account", "own"), ("strategy", "mine"), ("exchange", "binance")):
                    limit(control, kind, key, "10")
        with CaptureQueriesContext(connection) as queries:
            read_bars()
        asked.append(len(queries))
    assert asked[0] == asked[1]


# --------------------------------------------------------------------------------------------------------------- inbox


def asked(by: str, subject: str = "global", **values: Any) -> Approval:
    now = clock.now()
    known = {"requested_at": now, "expires_at": now + timedelta(hours=1), "reason": "x", "requested_by": by}
    return Approval.objects.create(act="lift_latch", subject=subject, **{**known, **values})


def granted(by: str) -> dict[str, Any]:
    return {"approved": True, "decided_by": by, "decided_at": clock.now()}


def test_the_inbox_counts_what_waits_for_me_and_not_what_i_asked_for(db: None) -> None:
    api_key("operate", owner="Olga")
    key = f"key:{ApiKey.objects.get().name}"
    theirs = asked("user:rita")
    mine = [asked("user:olga"), asked("command:Olga"), asked(key)]
    again = asked("user:olga", **granted("user:rita"))
    asked("user:rita", approved=False, decided_by="user:omar", decided_at=clock.now())
    olga = Actor("user:olga", "test", rights=EVERYTHING)
    with CaptureQueriesContext(connection) as queries:
        inbox = read_inbox(olga)
    assert len(queries) == 2
    assert inbox.waiting == [theirs, again]
    assert inbox.others == mine
    watcher = read_inbox(Actor("user:ada", "test", rights=frozenset({Right.VIEW})))
    assert (watcher.waiting, len(watcher.others)) == ([], 5)


def test_the_desk_says_how_many_wait_for_whoever_looks(db: None) -> None:
    theirs, own = asked("user:eve", "account:a"), asked("user:rita", "account:b")
    html = client_of(person("rita", "risk")).get("/admin/").content.decode()
    tile = html.split("Waiting for you</span>", 1)[1].split("</a>", 1)[0]
    assert "<strong>1 <small>1 of yours open</small>" in tile
    panel = html.split('id="proposals"', 1)[1].split("</section>", 1)[0]
    assert "1 waits for you" in panel
    assert f"/admin/acts/decide/{theirs.id}" in panel and f"/admin/acts/decide/{own.id}" not in panel
    assert panel.count("waits for another person") == 1
    auditor = client_of(person("ada", "auditor")).get("/admin/").content.decode()
    assert "2 open" in auditor and "/admin/acts/decide" not in auditor


def test_more_than_fit_are_counted(db: None) -> None:
    for number in range(12):
        asked("user:eve", f"account:{number}")
    html = client_of(person("rita", "risk")).get("/admin/").content.decode()
    assert "12 wait for you" in html and "and 2 more" in html
