"""Every row of the outcome table, and what must never be concluded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.btcturk.outcomes import TABLE, Call, Said, Verdict, classify
from exchanges.btcturk.parsing import said
from exchanges.reports import OutcomeKind as Kind

CLOUDFLARE = "<!DOCTYPE html>\n<html><head><title>Access denied</title></head><body>Error 1020</body></html>"
PLACE, CANCEL, QUERY, READ = Call.PLACE, Call.CANCEL, Call.QUERY, Call.READ


def body(message: str, code: object = 1000, success: bool = False) -> str:
    return json.dumps({"success": success, "message": message, "code": code})


OLD_401 = body("Unauthorized - Invalid Nonce", 1037, success=True)

CASES: list[tuple[Call, int, str, bool, Kind, str]] = [
    # limits
    (PLACE, 429, body("TOO_MANY_REQUESTS", 429), False, Kind.THROTTLED, "rate_limit"),
    (PLACE, 429, body("Too many requests", 429), False, Kind.THROTTLED, "rate_limit"),
    (READ, 429, "", False, Kind.THROTTLED, "rate_limit"),
    (PLACE, 200, body("TOO_MANY_REQUESTS", 429), False, Kind.THROTTLED, "rate_limit"),
    # may have been executed
    (PLACE, 400, body("Internal Server Error", "INTERNAL_ERROR"), False, Kind.UNKNOWN, "server_error"),
    (PLACE, 200, body("INTERNAL_ERROR"), False, Kind.UNKNOWN, "server_error"),
    (PLACE, 503, body("SYSTEM_UNDER_MAINTENANCE"), False, Kind.UNKNOWN, "maintenance"),
    (PLACE, 200, body("x", "SYSTEM_UNDER_MAINTENANCE"), False, Kind.UNKNOWN, "maintenance"),
    (READ, 503, body("SYSTEM_UNDER_MAINTENANCE"), False, Kind.UNKNOWN, "maintenance"),
    (PLACE, 400, body("FAILED_SET_ORDER_UNEXPECTED", 1117), False, Kind.UNKNOWN, "server_error"),
    (PLACE, 504, CLOUDFLARE, False, Kind.UNKNOWN, "server_error"),
    (PLACE, 502, "", False, Kind.UNKNOWN, "server_error"),
    (PLACE, 522, "", False, Kind.UNKNOWN, "server_error"),
    (PLACE, 500, body("BALANCE_NOT_ENOUGH", 1055), False, Kind.UNKNOWN, "server_error"),
    (PLACE, 502, body("BALANCE_NOT_ENOUGH", 502), False, Kind.UNKNOWN, "server_error"),
    (QUERY, 500, body("Order not found", 1152), False, Kind.UNKNOWN, "server_error"),
    (PLACE, 408, "", False, Kind.UNKNOWN, "backend_timeout"),
    # both shapes of 401: on a placement they prove nothing
    (PLACE, 401, "", False, Kind.UNKNOWN, "unauthorised"),
    (PLACE, 401, "", True, Kind.UNKNOWN, "unauthorised"),
    (PLACE, 401, OLD_401, False, Kind.UNKNOWN, "unauthorised"),
    (PLACE, 400, body("Unauthorized - Invalid Signature", 1037), False, Kind.UNKNOWN, "unauthorised"),
    (PLACE, 400, body("Invalid Nonce"), False, Kind.UNKNOWN, "unauthorised"),
    (PLACE, 400, body("INVALID_REQUEST", 1037), False, Kind.UNKNOWN, "unauthorised"),
    # elsewhere
    (CANCEL, 401, OLD_401, False, Kind.CLOCK, "clock"),
    (READ, 401, OLD_401, False, Kind.CLOCK, "clock"),
    (READ, 401, "", True, Kind.CLOCK, "clock"),
    (READ, 401, "", False, Kind.AUTH, "unauthorised"),
    (CANCEL, 401, "", False, Kind.AUTH, "unauthorised"),
    (QUERY, 401, body("Unauthorized - Invalid Signature", 1037, success=True), False, Kind.AUTH, "unauthorised"),
    (READ, 400, body("Unauthorized - Headers are missing", 1037), False, Kind.AUTH, "unauthorised"),
    (READ, 400, body("INVALID_REQUEST", 1037), False, Kind.AUTH, "unauthorised"),
    # not the API
    (PLACE, 403, CLOUDFLARE, False, Kind.AUTH, "firewall"),
    (PLACE, 403, "", False, Kind.UNKNOWN, "forbidden"),
    (PLACE, 403, body("no"), False, Kind.UNKNOWN, "forbidden"),
    (PLACE, 404, "", False, Kind.UNKNOWN, "wrong_path"),
    (READ, 404, CLOUDFLARE, False, Kind.UNKNOWN, "wrong_path"),
    (PLACE, 302, "", False, Kind.UNKNOWN, "redirect"),
    (PLACE, 405, "", False, Kind.REFUSED, "bad_request"),
    (PLACE, 415, "", False, Kind.REFUSED, "bad_request"),
    (PLACE, 422, "", False, Kind.REFUSED, "bad_request"),
    # cancel
    (CANCEL, 400, body("NO_ORDER_MATCHES_YOUR_REQUEST", 1052), False, Kind.REFUSED, "not_open"),
    (CANCEL, 400, body("ORDER_COULD_NOT_BE_CANCELED", 1051), False, Kind.REFUSED, "not_open"),
    (CANCEL, 400, body("ORDER_CANCEL_BLOCKED", 1050), False, Kind.REFUSED, "cancel_restricted"),
    (CANCEL, 400, body("SOMETHING_NEW", 7777), False, Kind.REFUSED, "refused"),
    (CANCEL, 400, "", False, Kind.UNKNOWN, "unclassified"),
    # look-ups
    (QUERY, 400, body("Order not found", 1152), False, Kind.NOT_FOUND, "not_found"),
    (QUERY, 404, body("ORDER NOT FOUND", 1153), False, Kind.NOT_FOUND, "not_found"),
    (READ, 400, body("Order not found", 1152), False, Kind.REFUSED, "refused"),
    (READ, 400, body("startTime cannot be bigger than current time", 1038), False, Kind.REFUSED, "refused"),
    # judged, whatever the code of the day
    *(
        (PLACE, 400, body(name, code), False, Kind.REFUSED, reason)
        for code in (1000, 1123, "x")
        for reason, names in {
            "insufficient_funds": (
                "FAILED_ORDER_WITH_OPEN_ORDERS",
                "BALANCE_NOT_ENOUGH",
                "BALANCE_NOT_ENOUGH_WITHOUT_OPEN_ORDERS",
            ),
            "market_closed": ("FAILED_MARKET_ORDER",),
            "filter": (
                "FAILED_MIN_TOTAL_AMOUNT",
                "PRICE_MUST_BE_LESS_THAN_MAXPRICE",
                "PRICE_MUST_BE_LESS_THAN_MINPRICE",
                "ORDER_MAX_PRICE_EXCEEDED",
                "ORDER_MIN_PRICE_EXCEEDED",
                "MAXIMUM_ORDER_AMOUNT_EXCEEDED",
            ),
            "precision": (
                "FAILED_INVALID_PRICE_SCALE",
                "FAILED_INVALID_QUANTITY_SCALE",
                "FAILED_INVALID_STOP_PRICE_SCALE",
            ),
            "would_trigger": (
                "FAILED_STOP_PRICE_GREATER_THAN_BEST_ASK",
                "FAILED_STOP_PRICE_LESS_THAN_BEST_BID",
                "STOP_PRICE_GREATER_THAN_MARKET",
                "STOP_PRICE_LESS_THAN_MARKET",
            ),
            "unsupported": ("ORDER_METHOD_NOT_SUPPORTED", "ORDER_TYPE_NOT_SUPPORTED"),
            "symbol": ("PAIR_NOT_FOUND_ERROR",),
            "bad_request": ("FAILED_LIMIT_ORDER", "FAILED_ORDER_PARAMETER"),
        }.items()
        for name in names
    ),
    (PLACE, 200, body("BALANCE_NOT_ENOUGH", "1055"), False, Kind.REFUSED, "insufficient_funds"),
    (PLACE, 400, body("balance_not_enough "), False, Kind.REFUSED, "insufficient_funds"),
    (PLACE, 400, body("", "BALANCE_NOT_ENOUGH"), False, Kind.REFUSED, "insufficient_funds"),
    # nobody has understood these
    (PLACE, 400, body("SOMETHING_NEW", 1122), False, Kind.UNKNOWN, "unclassified"),
    (PLACE, 400, body("NO_ORDER_MATCHES_YOUR_REQUEST", 1052), False, Kind.UNKNOWN, "unclassified"),
    (PLACE, 400, "", False, Kind.UNKNOWN, "unclassified"),
    (PLACE, 200, body("SOMETHING_NEW"), False, Kind.UNKNOWN, "unclassified"),
    (READ, 200, body("SOMETHING_NEW"), False, Kind.UNKNOWN, "unclassified"),
    (PLACE, 201, "", False, Kind.UNKNOWN, "unclassified"),
    (PLACE, 999, "", False, Kind.UNKNOWN, "unclassified"),
]


@pytest.mark.parametrize(("call", "status", "content", "drifted", "kind", "reason"), CASES)
def test_answer_is_classified(call: Call, status: int, content: str, drifted: bool, kind: Kind, reason: str) -> None:
    verdict = classify(call, status, said(content.encode()), drifted=drifted)
    assert (verdict.kind, verdict.reason) == (kind, reason)
    assert (verdict.wait_ms is not None) is (kind is Kind.THROTTLED)


def test_every_row_of_the_table_is_decided_by_a_case() -> None:
    def deciding(call: Call, status: int, content: str, drifted: bool) -> int:
        fitting = (row.fits(call, status, said(content.encode()), drifted) for row in TABLE)
        return list(fitting).index(True)

    used = {deciding(*case[:4]) for case in CASES}
    assert used == set(range(len(TABLE)))


@given(st.integers(500, 599), st.text(), st.sampled_from(Call), st.booleans())
def test_no_server_error_ever_proves_anything(status: int, text: str, call: Call, drifted: bool) -> None:
    assert classify(call, status, Said("", text, frozenset({text.upper()})), drifted=drifted).kind is Kind.UNKNOWN


@given(st.text(), st.booleans())
def test_no_401_to_a_placement_proves_anything(text: str, drifted: bool) -> None:
    assert classify(PLACE, 401, said(body(text).encode()), drifted=drifted).kind in {Kind.UNKNOWN, Kind.THROTTLED}


@given(st.integers(100, 999), st.binary(max_size=60), st.sampled_from(Call), st.booleans())
def test_there_is_a_verdict_for_everything(status: int, content: bytes, call: Call, drifted: bool) -> None:
    verdict = classify(call, status, said(content), drifted=drifted)
    assert isinstance(verdict, Verdict)
    assert verdict.kind not in {Kind.ACCEPTED, Kind.NOT_SENT}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"message":"A","code":7}', Said("7", "A", frozenset({"A"}))),
        (b'{"message":"a","code":"B"}', Said("B", "a", frozenset({"A", "B"}))),
        (b'{"message":null,"code":"1055"}', Said("1055", "", frozenset())),
        (b'{"message":{},"code":true}', Said("", "", frozenset())),
        (b"[]", Said("", "[]", frozenset())),
        (b"", Said("", "", frozenset())),
        (b"\xff", Said("", "\ufffd", frozenset())),
    ],
)
def test_words_of_a_body(content: bytes, expected: Said) -> None:
    assert said(content) == expected
