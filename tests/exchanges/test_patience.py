"""Reads are asked again after failures that pass, a few times and not for long; writes never."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from exchanges.adapters import PlaceInstruction
from exchanges.binance.adapter import BinanceAdapter
from exchanges.http.reading import PASSING, Patience
from exchanges.reports import Evidence, Outcome, OutcomeKind, ReadFailed
from tests.exchanges.binance.samples import CREDENTIALS
from tests.exchanges.fake_server import DROP, FakeServer, answer

BUSY = answer({"code": -1000, "msg": "unknown"}, 503)
TIME = answer({"serverTime": 1_700_000_000_000})
QUICK = Patience(pause_s=0.001)


@pytest.fixture
def patient(server: FakeServer) -> Iterator[BinanceAdapter]:
    """An adapter that asks again, at a scripted server."""
    adapter = BinanceAdapter(CREDENTIALS, server.url, patience=QUICK)
    yield adapter
    adapter.close()


@pytest.mark.parametrize("failure", [BUSY, DROP], ids=["503", "dropped"])
def test_a_read_is_asked_again_until_it_is_answered(
    server: FakeServer, patient: BinanceAdapter, failure: object
) -> None:
    server.script = [failure, failure, TIME]
    assert patient.server_time().server_ms == 1_700_000_000_000
    assert len(server.seen) == 3


def test_three_tries_are_all(server: FakeServer, patient: BinanceAdapter) -> None:
    server.script = [BUSY]
    with pytest.raises(ReadFailed):
        patient.server_time()
    assert len(server.seen) == QUICK.tries == 3


@pytest.mark.parametrize(
    "refusal",
    [
        answer({"code": -1003, "msg": "Too much request weight used"}, 429, {"Retry-After": "1"}),
        answer({"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}, 400),
        answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401),
        answer(b"<html>"),
    ],
    ids=["limit", "clock", "key", "unreadable"],
)
def test_what_another_try_cannot_mend_is_not_asked_again(
    server: FakeServer, patient: BinanceAdapter, refusal: bytes
) -> None:
    server.script = [refusal]
    with pytest.raises(ReadFailed):
        patient.server_time()
    assert len(server.seen) == 1


@pytest.mark.parametrize("failure", [BUSY, DROP], ids=["503", "dropped"])
def test_a_write_is_never_sent_again(server: FakeServer, patient: BinanceAdapter, failure: object) -> None:
    server.script = [failure]
    order = PlaceInstruction("BTCUSDT", "BUY", "MARKET", "once", quantity=Decimal("0.01"))
    outcome = patient.send(patient.prepare_place(order, 1_700_000_000_000, 5000), time.monotonic() + 5)
    assert outcome.kind is OutcomeKind.UNKNOWN
    assert len(server.seen) == 1


def test_every_try_takes_its_budget(server: FakeServer) -> None:
    asked: list[str] = []
    adapter = BinanceAdapter(CREDENTIALS, server.url, patience=QUICK, before_call=asked.append)
    server.script = [BUSY, TIME]
    adapter.server_time()
    adapter.close()
    assert asked == ["server_time"] * 2


def test_pauses_double_are_spread_and_end_at_the_deadline() -> None:
    patience = Patience(tries=10, pause_s=0.1, deadline_s=1.0)
    passing = Outcome(OutcomeKind.UNKNOWN, Evidence("GET", "/", {}), reason="server_error")
    for made, low, high in ((1, 0.05, 0.1), (2, 0.1, 0.2), (3, 0.2, 0.4)):
        pauses = [patience.pause(made, 0, passing) for _ in range(100)]
        assert all(pause is not None and low <= pause <= high for pause in pauses)
        assert len(set(pauses)) > 1
    assert patience.pause(1, 0.99, passing) is None
    assert patience.pause(10, 0, passing) is None
    assert patience.pause(1, 0, Outcome(OutcomeKind.REFUSED, passing.evidence, reason="symbol")) is None
    assert "duplicate" not in PASSING
