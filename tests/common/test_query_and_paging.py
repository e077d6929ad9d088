"""Query strings are read strictly, and pages neither skip nor repeat a row, wherever they are asked for."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from execution_project.common import clock
from tests.factories import AccountFactory, FillFactory, InstrumentFactory, OrderFactory, api_key
from tests.reading import pages, read

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("acount=main", "UNKNOWN_PARAMETER"),
        ("account=a&account=b", "INVALID_PARAMETER"),
        ("symbol=%00", "INVALID_PARAMETER"),
        ("symbol=" + "x" * 513, "INVALID_PARAMETER"),
        ("order=not-an-id", "INVALID_PARAMETER"),
        ("order=%7B0192f3a0-0000-7000-8000-000000000000%7D", "INVALID_PARAMETER"),
        ("traded_after=yesterday", "INVALID_PARAMETER"),
        ("traded_after=2026-01-31", "INVALID_PARAMETER"),
        ("traded_after=2026-01-31T12:00:00", "INVALID_PARAMETER"),
        ("traded_after=2026-02-31T12:00:00Z", "INVALID_PARAMETER"),
        ("traded_before=0001-01-01T00:00:00%2B10:00", "INVALID_PARAMETER"),
        ("limit=0", "INVALID_LIMIT"),
        ("limit=1001", "INVALID_LIMIT"),
        ("limit=-1", "INVALID_LIMIT"),
        ("limit=1.0", "INVALID_LIMIT"),
        ("limit=", "INVALID_LIMIT"),
        ("limit=%D9%A1", "INVALID_LIMIT"),
        ("limit=" + "9" * 400, "INVALID_LIMIT"),
        ("after=", "INVALID_PARAMETER"),
        ("after=%C3%A9", "INVALID_PARAMETER"),
        ("after=0192f3a0-0000-7000-8000-000000000000", "INVALID_PARAMETER"),
    ],
)
def test_a_query_that_is_not_clear_is_refused(query: str, code: str) -> None:
    headers = {"Authorization": f"Bearer {api_key('read')}"}
    answer = Client().get(f"/api/exec/fills?{query}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.json()


def test_times_are_read_with_their_zone_and_bound_from_below_inclusively() -> None:
    moment = clock.now().replace(microsecond=0)
    FillFactory(traded_at=moment, trade_id="7")
    at = moment.strftime("%Y-%m-%dT%H:%M:%S")
    shifted = (moment + timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%S+03:00")
    for text in (f"{at}Z", f"{at.lower()}z", f"{at}.000000Z", shifted):
        assert [fill["trade_id"] for fill in read("fills", traded_after=text)["fills"]] == ["7"], text
        assert read("fills", traded_before=text)["fills"] == []


def test_pages_hold_every_row_once_while_rows_arrive() -> None:
    fills = [FillFactory() for _ in range(7)]
    first = read("fills", limit=3)
    FillFactory()
    second = read("fills", limit=3, after=first["next"])
    third = read("fills", limit=3, after=second["next"])
    seen = [fill["id"] for page in (first, second, third) for fill in page["fills"]]
    assert seen == [str(fill.id) for fill in reversed(fills)]
    assert third["next"] is None


@pytest.mark.parametrize("limit", [1, 2, 4, 5])
def test_a_list_ends_where_its_rows_end(limit: int) -> None:
    names = [AccountFactory().name for _ in range(4)]
    found = pages("accounts", "accounts", limit=limit)
    assert [row["name"] for page in found for row in page] == names
    assert all(found), "no page is empty"


def test_a_cursor_holds_for_its_own_list_alone() -> None:
    for _ in range(2):
        FillFactory()
        OrderFactory()
    cursor = read("orders", limit=1)["next"]
    assert read("fills", status=400, after=cursor)["code"] == "INVALID_PARAMETER"
    forged = base64.urlsafe_b64encode(b"positions.fill:1").decode().rstrip("=")
    assert read("fills", status=400, after=forged)["code"] == "INVALID_PARAMETER"


@pytest.mark.parametrize("number", ["9223372036854775807", "99999999999999999999999999", "-1"])
def test_a_cursor_far_outside_is_the_end_or_the_start_and_no_failure(number: str) -> None:
    InstrumentFactory()
    cursor = base64.urlsafe_b64encode(f"exchanges.instrument:{number}".encode()).decode().rstrip("=")
    assert len(read("instruments", after=cursor)["instruments"]) == (1 if number == "-1" else 0)


def test_a_page_takes_the_same_statements_for_few_rows_and_many() -> None:
    account = AccountFactory()
    key = api_key("read")

    def statements() -> tuple[int, list[str]]:
        with CaptureQueriesContext(connection) as captured:
            read("fills", key=key)
        return len(captured), [query["sql"] for query in captured if "positions_fill" in query["sql"]]

    FillFactory(account=account)
    few, _ = statements()
    for _ in range(20):
        FillFactory(account=account)
    many, sql = statements()
    assert few == many
    assert len(sql) == 1 and "COUNT(" not in sql[0] and "OFFSET" not in sql[0]
