"""Recordings: what is written is read again, and what is none is refused with a sentence."""

from __future__ import annotations

import gzip
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from exchanges.models import Mode
from exchanges.paper.feed import Print, note_prints
from exchanges.paper.recording import Event, Header, Kind, NotARecording, Recorder, Writer, header_of, read
from exchanges.quotes import Levels20, Price, store_books, store_quotes
from execution_project.common import clock
from tests.commands import run
from tests.exchanges.paper.recordings import FACTS, START, write_recording
from tests.factories import InstrumentFactory

D = Decimal


def test_events_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "market"
    one = (((D("99.5"), D(1)), (D(99), D("2.5"))), ((D(101), D(3)),))
    two = (((D("99.5"), D("0.5")), (D(98), D(1))), ((D(102), D(3)),))
    events = [
        Event(Kind.DEPTH, START, "BTCUSDT", *one),
        Event(
            Kind.TRADE,
            START + timedelta(milliseconds=3),
            "BTCUSDT",
            price=D("99.5"),
            quantity=D("0.5"),
            aggressor="SELL",
        ),
        Event(Kind.DEPTH, START + timedelta(seconds=1), "BTCUSDT", *two),
        Event(Kind.QUOTE, START + timedelta(seconds=2), "ETHUSDT", ((D(5), D(0)),), ()),
    ]
    header = Header("binance", "sandbox", START, {"ETHUSDT": FACTS, "BTCUSDT": FACTS})
    with Writer(path, header) as writer:
        for event in events:
            writer.write(event)
        writer.write(Event(Kind.DEPTH, START + timedelta(seconds=3), "BTCUSDT", *two))
    assert writer.lines == len(events), "a book that has not changed is left out"
    again, told = read(path)
    assert (again, list(told)) == (header, events)


def test_a_minute_of_a_busy_book_takes_a_few_kilobytes(tmp_path: Path) -> None:
    assert write_recording(tmp_path / "market", 60) > 60
    assert (tmp_path / "market").stat().st_size < 6_000


@pytest.mark.parametrize(
    "text", ["", "no json", '{"format": "another/1"}', "[]"], ids=["empty", "text", "another format", "list"]
)
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "market"
    with gzip.open(path, "wt") as file:
        file.write(text)
    with pytest.raises(NotARecording, match="market"):
        read(path)
    path.write_text("plain")
    with pytest.raises(NotARecording):
        read(path)


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "market"
    write_recording(path, 3)
    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()
    with gzip.open(path, "wt") as file:
        file.write("\n".join([*lines[:3], '["d", 5, 9, [], []]']))
    _, events = read(path)
    with pytest.raises(NotARecording, match="line 4"):
        list(events)


@pytest.mark.django_db
def test_the_recorder_writes_what_is_new_in_its_order(tmp_path: Path) -> None:
    book, quoted = InstrumentFactory(), InstrumentFactory(base_asset="ETH")
    InstrumentFactory(mode=Mode.PAPER)
    now = clock.now()
    levels = ((D(99), D(1)),), ((D(101), D(1)),)
    with Writer(tmp_path / "market", header_of("binance", "sandbox", [book, quoted])) as writer:
        recorder = Recorder(writer, [book, quoted])
        note_prints([Print(book.pk, D(1), D(1), "BUY", now)])  # from before
        store_books([Levels20(book.pk, *levels, now)])
        store_quotes([Price(quoted.pk, D(5), None, now)])
        recorder.look()
        note_prints([Print(book.pk, D(99), D("0.2"), "SELL", now + timedelta(seconds=1))])
        store_books([Levels20(book.pk, *levels, now + timedelta(seconds=2))])
        recorder.look()
        recorder.look()
    _, told = read(tmp_path / "market")
    assert [(event.kind, event.symbol) for event in told] == [
        (Kind.DEPTH, "BTCUSDT"),
        (Kind.QUOTE, "ETHUSDT"),
        (Kind.TRADE, "BTCUSDT"),
    ]


@pytest.mark.django_db
def test_the_command_records_and_writes_nothing_over(tmp_path: Path) -> None:
    assert "trade one first" in run("record_market", str(tmp_path / "a"), "--seconds", "1").err
    book = InstrumentFactory()
    store_books([Levels20(book.pk, ((D(99), D(1)),), ((D(101), D(1)),), clock.now())])
    ran = run("record_market", str(tmp_path / "a"), "--seconds", "1", "--json", "--progress")
    assert (ran.code, ran.document["events"]["depth"]) == (0, 1)
    assert "4/4 looks" in ran.err
    assert run("record_market", str(tmp_path / "a"), "--seconds", "1").code == 1
    assert "NOPE" in run("record_market", str(tmp_path / "b"), "--symbol", "NOPE").err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
