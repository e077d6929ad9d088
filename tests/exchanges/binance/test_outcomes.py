"""The outcome table case by case, and that every row of it decides something."""

from __future__ import annotations

import ssl

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, ReadTimeoutError

from exchanges.binance.outcomes import TABLE, Call, Verdict, classify
from exchanges.http.calls import classify_failure, retry_after_ms
from exchanges.http.transport import TooLate
from exchanges.reports import OutcomeKind as Kind

FIREWALL = "<html>\r\n<head><title>403 Forbidden</title></head></html>"
PLACE, CANCEL, QUERY, READ = Call.PLACE, Call.CANCEL, Call.QUERY, Call.READ
AMEND, REPLACE = Call.AMEND, Call.REPLACE

CASES: list[tuple[Call, int, int | None, str, Kind, str]] = [
    # limits
    (PLACE, 418, -1003, "Way too much request weight used; IP banned until 1.", Kind.THROTTLED, "banned"),
    (PLACE, 418, None, "", Kind.THROTTLED, "banned"),
    (PLACE, 429, -1003, "Too much request weight used", Kind.THROTTLED, "weight_limit"),
    (PLACE, 429, None, "", Kind.THROTTLED, "weight_limit"),
    (
        PLACE,
        429,
        -1015,
        "Too many new orders; current limit is 50 orders per 10 SECOND.",
        Kind.THROTTLED,
        "order_limit",
    ),
    (PLACE, 400, -1015, "Too many new orders", Kind.THROTTLED, "order_limit"),
    (CANCEL, 400, -1003, "Too many requests queued.", Kind.THROTTLED, "weight_limit"),
    (READ, 400, -1034, "Too many connections", Kind.THROTTLED, "connection_limit"),
    # may have been executed
    (PLACE, 500, None, "", Kind.UNKNOWN, "server_error"),
    (PLACE, 502, None, "<html>Bad Gateway</html>", Kind.UNKNOWN, "server_error"),
    (PLACE, 503, -1008, "Server is currently overloaded", Kind.UNKNOWN, "server_busy"),
    (PLACE, 504, -1007, "Timeout waiting for response from backend server.", Kind.UNKNOWN, "backend_timeout"),
    (PLACE, 408, None, "", Kind.UNKNOWN, "backend_timeout"),
    (PLACE, 400, -1007, "Timeout", Kind.UNKNOWN, "backend_timeout"),
    (PLACE, 400, -1008, "", Kind.UNKNOWN, "server_busy"),
    (PLACE, 500, -1000, "An unknown error occurred", Kind.UNKNOWN, "server_error"),
    (PLACE, 400, -1000, "", Kind.UNKNOWN, "server_error"),
    (PLACE, 503, -1001, "Internal error", Kind.UNKNOWN, "server_error"),
    (PLACE, 400, -1001, "", Kind.UNKNOWN, "server_error"),
    (PLACE, 400, -1006, "", Kind.UNKNOWN, "server_error"),
    (PLACE, 503, -1016, "This service is no longer available.", Kind.UNKNOWN, "server_error"),
    (PLACE, 500, -2010, "Duplicate order sent.", Kind.UNKNOWN, "server_error"),
    (PLACE, 503, -2010, "Account has insufficient balance for requested action.", Kind.UNKNOWN, "server_error"),
    (QUERY, 500, -2013, "Order does not exist.", Kind.UNKNOWN, "server_error"),
    (QUERY, 504, -1021, "", Kind.UNKNOWN, "server_error"),
    # clock
    (PLACE, 400, -1021, "Timestamp for this request is outside of the recvWindow.", Kind.CLOCK, "clock"),
    (READ, 400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.", Kind.CLOCK, "clock"),
    # key
    (PLACE, 400, -1022, "Signature for this request is not valid.", Kind.AUTH, "signature"),
    (PLACE, 401, -2014, "API-key format invalid.", Kind.AUTH, "key_format"),
    (PLACE, 401, -2015, "Invalid API-key, IP, or permissions for action.", Kind.AUTH, "key_refused"),
    (PLACE, 400, -2015, "Invalid API-key, IP, or permissions for action.", Kind.AUTH, "key_refused"),
    (PLACE, 403, -2015, "Invalid API-key, IP, or permissions for action.", Kind.AUTH, "key_refused"),
    (PLACE, 400, -1002, "You are not authorized", Kind.AUTH, "unauthorised"),
    (READ, 401, None, "", Kind.AUTH, "unauthorised"),
    (PLACE, 400, -2010, "This action is disabled on this account.", Kind.AUTH, "account_disabled"),
    (CANCEL, 400, -2011, "This account may not place or cancel orders.", Kind.AUTH, "account_disabled"),
    (PLACE, 451, 0, "Service unavailable from a restricted location", Kind.AUTH, "restricted_location"),
    # not the API
    (PLACE, 403, None, FIREWALL, Kind.REFUSED, "firewall"),
    (PLACE, 403, None, "", Kind.UNKNOWN, "forbidden"),
    (PLACE, 403, -9999, "new", Kind.UNKNOWN, "forbidden"),
    (PLACE, 404, None, "", Kind.UNKNOWN, "wrong_path"),
    (READ, 410, None, "<html>410 Gone</html>", Kind.UNKNOWN, "wrong_path"),
    (PLACE, 302, None, "", Kind.UNKNOWN, "redirect"),
    (PLACE, 409, -2021, "Order cancel-replace partially failed.", Kind.UNKNOWN, "split_result"),
    # a replacement without its halves
    (REPLACE, 400, -2010, "Filter failure: MAX_NUM_ORDERS", Kind.REFUSED, "filter"),
    (REPLACE, 400, -2022, "Order cancel-replace failed.", Kind.UNKNOWN, "split_result"),
    (REPLACE, 400, -2010, "Account has insufficient balance for requested action.", Kind.UNKNOWN, "split_result"),
    (REPLACE, 400, -2011, "Unknown order sent.", Kind.UNKNOWN, "split_result"),
    (REPLACE, 400, -1013, "Filter failure: LOT_SIZE", Kind.REFUSED, "filter"),
    (REPLACE, 429, -1015, "Too many new orders", Kind.THROTTLED, "order_limit"),
    # amendments
    (AMEND, 400, -2038, "Unknown order sent.", Kind.REFUSED, "not_open"),
    (AMEND, 400, -2013, "Order does not exist.", Kind.REFUSED, "not_open"),
    (AMEND, 400, -2038, "Filter failure: MAX_NUM_ORDER_AMENDS", Kind.REFUSED, "filter"),
    (AMEND, 400, -2038, "Order amend (quantity increase) is not supported.", Kind.REFUSED, "unsupported"),
    (AMEND, 400, -2038, "The requested action would change no state; rejecting", Kind.REFUSED, "no_change"),
    (AMEND, 400, -2038, "Something new", Kind.REFUSED, "refused"),
    (AMEND, 504, -1007, "Timeout", Kind.UNKNOWN, "backend_timeout"),
    # already there
    (PLACE, 400, -2010, "Duplicate order sent.", Kind.UNKNOWN, "duplicate"),
    # cancel
    (CANCEL, 400, -2011, "Unknown order sent.", Kind.REFUSED, "not_open"),
    (CANCEL, 400, -2013, "Order does not exist.", Kind.REFUSED, "not_open"),
    (
        CANCEL,
        400,
        -2011,
        "Order was not canceled due to cancel restrictions.",
        Kind.REFUSED,
        "cancel_restricted",
    ),
    (CANCEL, 400, -2011, "Something new", Kind.REFUSED, "refused"),
    # look-ups
    (QUERY, 400, -2013, "Order does not exist.", Kind.NOT_FOUND, "not_found"),
    (READ, 400, -2013, "Order does not exist.", Kind.REFUSED, "refused"),
    (
        QUERY,
        400,
        -2026,
        "Order was canceled or expired with no executed qty over 90 days ago",
        Kind.REFUSED,
        "archived",
    ),
    (QUERY, 400, -2039, "Client order ID is not correct for this order ID", Kind.REFUSED, "id_mismatch"),
    # refusals
    (PLACE, 400, -2010, "Account has insufficient balance for requested action.", Kind.REFUSED, "insufficient_funds"),
    (PLACE, 400, -1013, "Filter failure: PRICE_FILTER", Kind.REFUSED, "filter"),
    (PLACE, 400, -2010, "Filter failure: MAX_NUM_ORDERS", Kind.REFUSED, "filter"),
    (PLACE, 400, -2010, "Order would immediately match and take.", Kind.REFUSED, "would_match"),
    (PLACE, 400, -2010, "Order would trigger immediately.", Kind.REFUSED, "would_trigger"),
    (PLACE, 400, -1013, "Market is closed.", Kind.REFUSED, "market_closed"),
    (PLACE, 400, -2010, "Market is closed.", Kind.REFUSED, "market_closed"),
    (PLACE, 400, -2010, "This order type is not possible in this trading phase.", Kind.REFUSED, "market_closed"),
    (PLACE, 400, -2010, "Limit orders require GTC for this phase.", Kind.REFUSED, "market_closed"),
    (PLACE, 400, -2010, "Rest API trading is not enabled.", Kind.REFUSED, "trading_disabled"),
    (PLACE, 400, -2010, "This symbol is not permitted for this account.", Kind.REFUSED, "symbol_not_permitted"),
    (PLACE, 400, -2010, "This symbol is restricted for this account.", Kind.REFUSED, "symbol_not_permitted"),
    (
        PLACE,
        400,
        -2010,
        "Order book liquidity is less than LOT_SIZE filter minimum quantity.",
        Kind.REFUSED,
        "thin_book",
    ),
    (PLACE, 400, -1112, "No orders on book for symbol.", Kind.REFUSED, "thin_book"),
    (PLACE, 400, -2010, "Market orders are not supported for this symbol.", Kind.REFUSED, "unsupported"),
    (
        PLACE,
        400,
        -2010,
        "Quote order qty market orders are not support for this symbol.",
        Kind.REFUSED,
        "unsupported",
    ),
    (
        PLACE,
        400,
        -1013,
        "This symbol does not allow the specified self-trade prevention mode.",
        Kind.REFUSED,
        "unsupported",
    ),
    (PLACE, 400, -2010, "Unsupported order combination", Kind.REFUSED, "unsupported"),
    (PLACE, 400, -2010, "Price * QTY is zero or less.", Kind.REFUSED, "refused"),
    (PLACE, 400, -1121, "Invalid symbol.", Kind.REFUSED, "symbol"),
    (READ, 400, -1220, "The symbol's status does not match", Kind.REFUSED, "symbol"),
    (PLACE, 400, -1111, "Parameter 'quantity' has too much precision.", Kind.REFUSED, "precision"),
    (PLACE, 400, -1013, "Invalid message", Kind.REFUSED, "bad_request"),
    (PLACE, 400, -1014, "Unsupported order combination.", Kind.REFUSED, "bad_request"),
    (PLACE, 400, -1020, "This operation is not supported.", Kind.REFUSED, "bad_request"),
    *((PLACE, 400, code, "", Kind.REFUSED, "bad_request") for code in (-1100, -1101, -1102, -1104, -1106, -1128)),
    (PLACE, 400, -1199, "", Kind.REFUSED, "bad_request"),
    (PLACE, 400, -1225, "", Kind.REFUSED, "bad_request"),
    (PLACE, 400, -1226, "not listed yet", Kind.REFUSED, "refused"),
    (PLACE, 400, -7777, "not listed yet", Kind.REFUSED, "refused"),
    # nobody has understood these
    (PLACE, 400, None, "", Kind.UNKNOWN, "unclassified"),
    (PLACE, 400, 0, "no code", Kind.UNKNOWN, "unclassified"),
    (PLACE, 400, 42, "positive", Kind.UNKNOWN, "unclassified"),
    (PLACE, 100, None, "", Kind.UNKNOWN, "unclassified"),
    (PLACE, 999, None, "", Kind.UNKNOWN, "unclassified"),
]


@pytest.mark.parametrize(("call", "status", "code", "message", "kind", "reason"), CASES)
def test_answer_is_classified(call: Call, status: int, code: int | None, message: str, kind: Kind, reason: str) -> None:
    verdict = classify(call, status, code, message)
    assert (verdict.kind, verdict.reason) == (kind, reason)
    assert verdict.banned is (status == 418)
    assert (verdict.wait_ms is not None) is (kind is Kind.THROTTLED)


def test_every_row_of_the_table_is_decided_by_a_case() -> None:
    def deciding(call: Call, status: int, code: int | None, message: str) -> int:
        fitting = (row.fits(call, status, code or None, message.lower()) for row in TABLE)
        return list(fitting).index(True)

    used = {deciding(call, status, code, message) for call, status, code, message, _, _ in CASES}
    assert used == set(range(len(TABLE)))


@given(st.integers(500, 599), st.none() | st.integers(-9999, 9999), st.text(), st.sampled_from(Call))
def test_no_server_error_ever_proves_anything(status: int, code: int | None, text: str, call: Call) -> None:
    assert classify(call, status, code, text).kind is Kind.UNKNOWN


@given(st.integers(100, 999), st.none() | st.integers(-9999, 9999), st.text(), st.sampled_from(Call))
def test_there_is_a_verdict_for_everything(status: int, code: int | None, text: str, call: Call) -> None:
    verdict = classify(call, status, code, text)
    assert isinstance(verdict, Verdict)
    assert verdict.kind not in {Kind.ACCEPTED, Kind.NOT_SENT}


@pytest.mark.parametrize(
    ("header", "expected"), [("7", 7000), (" 30 ", 30_000), ("", None), (None, None), ("soon", None), ("-1", None)]
)
def test_retry_after(header: str | None, expected: int | None) -> None:
    assert retry_after_ms(header) == expected


CONNECTION = HTTPConnection("exchange")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TooLate(), "too_late"),
        (NameResolutionError("exchange", CONNECTION, OSError()), "name_resolution"),  # type: ignore[arg-type]
        (NewConnectionError(CONNECTION, "refused"), "connect_failed"),
        (requests.ConnectionError(ConnectionRefusedError()), "connect_failed"),
        (ConnectTimeoutError(CONNECTION, "slow"), "connect_timeout"),
        (TimeoutError(), "connect_timeout"),
        (ssl.SSLError(), "tls_failed"),
        (requests.ConnectionError(ssl.SSLCertVerificationError()), "tls_failed"),
        (ValueError(), "internal_error"),
    ],
)
def test_a_failure_before_the_first_byte_proves_not_sent(error: Exception, reason: str) -> None:
    failure = classify_failure(error, begun=False)
    assert (failure.kind, failure.reason) == (Kind.NOT_SENT, reason)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.ReadTimeout(), "read_timeout"),
        (requests.ConnectionError(ReadTimeoutError(None, "", "")), "read_timeout"),  # type: ignore[arg-type]
        (requests.ConnectionError(ConnectionResetError()), "connection_lost"),
        (requests.exceptions.ChunkedEncodingError(), "connection_lost"),
        (BrokenPipeError(), "connection_lost"),
        (AttributeError(), "internal_error"),
    ],
)
def test_a_failure_after_the_first_byte_proves_nothing(error: Exception, reason: str) -> None:
    failure = classify_failure(error, begun=True)
    assert (failure.kind, failure.reason) == (Kind.UNKNOWN, reason)
