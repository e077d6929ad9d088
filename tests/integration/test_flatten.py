"""Flattening a killed scope: confirmed by its list, in chunks, with fresh prices only, to a verdict."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exchanges.models import Balance, Depth, Instrument, Quote
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from orders import flattening
from orders.flattening import confirm_flatten, plan_flatten, ring_flattens
from orders.killing import kill
from orders.models import Order
from risk.boot_halt import halt_for_boot, lift_boot_halt
from risk.models import Flatten, FlattenItem, KillEpisode
from risk.trading_state import halt
from tests.engines import BY, Engine, drain, holdings, make_engine
from tests.kills import kill_ticks, take_for_proven, until_verified
from tests.regressions.rounds import make_due
from tests.simulators import Simulator
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
D = Decimal
HELD = {"binance": {"USDT": "1000", "BTC": "0.3"}, "btcturk": {"USDT": "1000", "BTC": "0.3"}}


@pytest.fixture(params=["binance", "btcturk"])
def venue(request: pytest.FixtureRequest, transactional_db: None, simulator: Simulator) -> Engine:
    """An account with 0.3 BTC at each exchange in turn; bids of 0.2 from 60000 down, one tick apart."""
    simulator.call("POST", "/sim/btcturk", {"limits_on": False})
    simulator.book("BTCUSDT", "60000", "60010", quantity="0.2", exchange=request.param)
    return make_engine(simulator, exchange=request.param, balances=HELD[request.param])


@pytest.fixture
def binance(transactional_db: None, simulator: Simulator) -> Engine:
    """The same at Binance."""
    return make_engine(simulator, balances=HELD["binance"])


def fresh_book(engine: Engine, size: str = "0.2", levels: int = 2) -> None:
    """Prices and the visible book, as market streams bring them."""
    engine.refresh()
    instrument = Instrument.objects.get(exchange=engine.account.exchange, symbol="BTCUSDT")
    bids = [[str(60000 - level), size] for level in range(levels)]
    asks = [[str(60010 + level), size] for level in range(levels)]
    values = {"bids": bids, "asks": asks, "confirmed_at": clock.now()}
    Depth.objects.update_or_create(instrument=instrument, defaults=values)


def killed(engine: Engine) -> KillEpisode:
    kill("account", engine.account.name, reason="a drill", by=BY)
    return until_verified("account", engine.account.name)


def sell_on(engine: Engine, **book: Any) -> Flatten:
    """Go on until the flatten has its verdict."""

    def ended() -> bool:
        fresh_book(engine, **book)
        make_due()
        ring_flattens()
        kill_ticks()
        return Flatten.objects.latest("id").status != "RUNNING"

    wait_until(ended, 30, "the verdict of the flatten", every=0.2)
    return Flatten.objects.latest("id")


def confirmed(episode: KillEpisode) -> Flatten:
    return confirm_flatten(episode, confirm=plan_flatten(episode).confirm, reason="a drill", by=BY)


def test_a_killed_account_is_sold_in_chunks_until_it_is_flat(venue: Engine) -> None:
    fresh_book(venue)
    episode = killed(venue)
    code, shown = venue.request("GET", f"kills/{episode.id}/flatten")
    assert code == 200, shown
    assert shown["scope"] == f"account:{venue.account.name}"
    assert [(item["asset"], item["symbol"], item["quantity"]) for item in shown["items"]] == [("BTC", "BTCUSDT", "0.3")]
    code, wrong = venue.request("POST", f"kills/{episode.id}/flatten", {"confirm": "0" * 16, "reason": "a drill"})
    assert (code, wrong["code"]) == (409, "FLATTEN_CHANGED")
    body = {"confirm": shown["confirm"], "reason": "a drill"}
    code, begun = venue.request("POST", f"kills/{episode.id}/flatten", body)
    assert (code, begun["status"]) == (202, "RUNNING"), begun
    flatten = sell_on(venue)
    assert flatten.status == "FLAT", list(flatten.items.values("state", "why", "left", "chunks"))
    assert "BTC" not in holdings(venue)
    chunks = list(Order.objects.filter(kill_id=episode.id).order_by("id"))
    assert len(chunks) >= 3 and all(order.quantity <= D("0.1") and order.reduce_only for order in chunks)
    assert {order.time_in_force for order in chunks} == {"IOC" if venue.account.exchange == "binance" else "GTC"}
    assert KillEpisode.objects.get().verdict == "VERIFIED", "its own flatten does not open the kill again"
    assert venue.limit("SELL", "0.01", "60000")[0] == 422, "nothing else passes"
    assert [event.to_status for event in Event.objects.filter(kind="flatten.ended")] == ["FLAT"]
    assert venue.request("GET", f"kills/{episode.id}")[1]["flattens"][0]["status"] == "FLAT"


def test_what_the_exchange_takes_no_order_for_is_dust(binance: Engine) -> None:
    fresh_book(binance)
    _, sold = binance.place(side="SELL", quantity="0.29995")
    kill_ticks()
    fresh_book(binance)
    assert holdings(binance)["BTC"] == D("0.00005"), sold
    confirmed(killed(binance))
    flatten = sell_on(binance)
    (item,) = flatten.items.all()
    assert (flatten.status, item.state, item.left) == ("FLAT_BUT_DUST", "DUST", D("0.00005"))
    assert "less than the exchange takes" in item.why
    assert not Order.objects.filter(kill_id__isnull=False).exists()


def test_nothing_is_sold_on_old_prices_and_in_the_end_that_is_said(
    binance: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_book(binance)
    confirmed(killed(binance))
    Quote.objects.update(confirmed_at=clock.now() - flattening.MAX_QUOTE_AGE * 2)
    flattening.flatten_step(Flatten.objects.get().id, binance.account.pk)
    assert "no price" in FlattenItem.objects.get().why
    binance.refresh()
    Depth.objects.update(confirmed_at=clock.now() - flattening.MAX_QUOTE_AGE * 2)
    flattening.flatten_step(Flatten.objects.get().id, binance.account.pk)
    assert "no book" in FlattenItem.objects.get().why
    assert not Order.objects.exists()
    FlattenItem.objects.update(moved_at=clock.now() - flattening.GIVES_UP_AFTER * 2)
    flattening.flatten_step(Flatten.objects.get().id, binance.account.pk)
    ring_flattens()
    flatten = Flatten.objects.get()
    assert flatten.status == "NOT_FLAT"
    left = Event.objects.get(kind="flatten.ended").evidence["left"]
    assert [(each["asset"], each["left"], each["state"]) for each in left] == [("BTC", "0.3", "LEFT")]


def test_a_newer_halt_stops_it(binance: Engine) -> None:
    fresh_book(binance)
    confirmed(killed(binance))
    halt("global", "", reason="stop everything", by=BY)
    flatten = sell_on(binance)
    (item,) = flatten.items.all()
    assert (flatten.status, item.state) == ("NOT_FLAT", "LEFT")
    assert "newer halt" in item.why
    assert {order.reason for order in Order.objects.filter(kill_id__isnull=False)} == {"TRADING_HALTED"}
    assert holdings(binance)["BTC"] == D("0.3")


def test_it_follows_a_verified_kill_only_and_sells_what_was_shown_only(binance: Engine) -> None:
    episode = kill("account", binance.account.name, reason="a drill", by=BY).episode
    with pytest.raises(Problem) as caught:
        plan_flatten(episode)
    assert caught.value.code == "KILL_NOT_VERIFIED"
    episode = take_for_proven("account", binance.account.name)
    shown = plan_flatten(episode)
    binance.account.holding_set.filter(asset="BTC").update(quantity=D("0.4"))
    with pytest.raises(Problem) as caught:
        confirm_flatten(episode, confirm=shown.confirm, reason="", by=BY)
    assert caught.value.code == "FLATTEN_CHANGED"
    binance.account.holding_set.filter(asset="BTC").update(quantity=D("0"))
    with pytest.raises(Problem) as caught:
        plan_flatten(episode)
    assert caught.value.code == "NOTHING_TO_FLATTEN"


def test_whoever_flattens_may_die_between_two_lines(binance: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that died after it had counted its chunk, and one that is repeated after it placed it."""
    fresh_book(binance)
    confirmed(killed(binance))
    item_id = FlattenItem.objects.get().id

    def die(*args: Any, **named: Any) -> None:
        raise RuntimeError("died")

    with monkeypatch.context() as patched:
        patched.setattr(flattening, "place", die)
        with pytest.raises(RuntimeError):
            flattening.flatten_step(Flatten.objects.get().id, binance.account.pk)
    assert FlattenItem.objects.get(id=item_id).chunks == 1
    flattening.flatten_step(Flatten.objects.get().id, binance.account.pk)
    flattening.flatten_step(Flatten.objects.get().id, binance.account.pk)
    assert Order.objects.count() == 1, "one chunk at a time"
    assert sell_on(binance).status == "FLAT"
    assert Balance.objects.get(account=binance.account, asset="BTC").free == 0


def test_no_more_is_sold_than_was_confirmed(binance: Engine) -> None:
    """What came since is nobody's confirmed sale; the verdict says that it is there."""
    fresh_book(binance)
    confirmed(killed(binance))
    FlattenItem.objects.update(quantity=D("0.12"), left=D("0.12"))
    flatten = sell_on(binance)
    (item,) = flatten.items.all()
    assert (holdings(binance)["BTC"], item.left) == (D("0.18"), D("0.18"))
    assert (flatten.status, "came since" in item.why) == ("NOT_FLAT", True)


def test_a_start_holds_it_up_and_ends_nothing(binance: Engine) -> None:
    fresh_book(binance)
    kill("symbol", "BTCUSDT", reason="a drill", by=BY)
    flatten = confirmed(until_verified("symbol", "BTCUSDT"))
    flattening.flatten_step(flatten.id, binance.account.pk)
    FlattenItem.objects.update(moved_at=clock.now() - flattening.GIVES_UP_AFTER * 2)
    assert halt_for_boot(binance.account.name, by=engine("boot", "start"))
    drain()
    assert Order.objects.get().reason == "TRADING_HALTED", "the start was faster than the chunk"
    flattening.flatten_step(flatten.id, binance.account.pk)
    item = FlattenItem.objects.get()
    assert (item.state, "has started" in item.why, Order.objects.count()) == ("SELLING", True, 1)
    assert clock.now() - item.moved_at < flattening.GIVES_UP_AFTER
    assert lift_boot_halt(binance.account.name, by=engine("boot", "start"))
    assert sell_on(binance).status == "FLAT"
