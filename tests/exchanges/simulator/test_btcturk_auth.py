"""BTCTurk signatures, stamps, keys and both shapes of a 401 (sheet §1; pitfalls 1 to 4)."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from exchanges.simulator import btcturk_signatures as signatures
from tests.exchanges.simulator.btcturk_client import ORDER, PUBLIC, SECRET, Turk, next_stamp, signature
from tests.exchanges.simulator.conftest import Reply, Simulator

BALANCES = "/api/v1/users/balances"

VECTORS = [
    (
        "test-public-key",
        "dGVzdC1zZWNyZXQta2V5LWZvci11bml0LXRlc3Rz",
        "1735689600000",
        "7gyFGcOS+qnq46h/rl83VtpaEAsh8Th3Z3lQrF7g2I0=",
        "38qSfoys8cvFpd0FBe50RUaqT6Dl3iMO7iyblkzlqnw=",
    ),
    (
        "demo-public-key-0001",
        "Zml4dHVyZS1zZWNyZXQtQS0zMi1ieXRlcy1sb25nISE=",
        "1700000000000",
        "I8N4muP9WJR63/52FkttfUl/oWe0TGffeAuLd0zKvzU=",
        "Nm6R5vIuBoOGTMI4RNCrTIAWV3djmzXJu3OBDPvgIek=",
    ),
    (
        PUBLIC,
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "1767225600123",
        "KR2w0snOFfXrnSC/oCbezn5wEe0+XtlRWev3CsUtxkU=",
        "pRK2SAsC85vMcFtkgwABpcVim/uU4zc4/dOE0OD2Z3o=",
    ),
    (PUBLIC, SECRET, "3000", "QMPOxS539jlzNkAkuKMLziOoAdx1gVrkyy46bAB9ktg=", ""),
]


@pytest.mark.parametrize(("key", "secret", "stamp", "right", "undecoded"), VECTORS)
def test_signature_vectors(key: str, secret: str, stamp: str, right: str, undecoded: str) -> None:
    assert signatures.sign(key, secret, stamp) == right
    assert signatures.verify(key, secret, stamp, right)
    assert not signatures.verify(key, secret, stamp, undecoded)
    assert not signatures.verify(key, secret, stamp, "\udcff")


def signed(turk: Turk, stamp: int | str, **changes: str) -> Reply:
    return turk.simulator.request("GET", BALANCES, None, {**turk.headers(stamp), **changes})


def test_what_makes_a_401_and_how_it_reads(turk: Turk) -> None:
    now = next_stamp() + 100
    cases: list[tuple[str, int | str, dict[str, str]]] = [
        ("Headers are missing", now, {"X-Signature": ""}),
        ("Invalid Public Key / Private Key", now, {"X-PCK": "somebody"}),
        ("Invalid Signature", now, {"X-Signature": signature(SECRET, f"{PUBLIC}{now + 1}")}),
        ("Invalid Nonce", now - 6000, {}),
        ("Invalid Nonce", now + 6000, {}),
        ("Invalid Nonce", f"{now}.5", {}),
    ]
    for reason, stamp, changes in cases:
        reply = signed(turk, stamp, **changes)
        assert (reply.status, reply.body) == (401, b""), reason
        assert (reply.headers["Content-Length"], reply.headers["WWW-Authenticate"]) == ("0", "Bearer")
    turk.settings(auth_answer="body")
    for reason, stamp, changes in cases:
        reply = signed(turk, stamp, **changes)
        assert reply.status == 401
        assert reply.body == {"success": True, "message": f"Unauthorized - {reason}", "code": 1037}
    assert signed(turk, now).status == 200


def test_a_stamp_is_used_once_and_the_switch_for_it(turk: Turk) -> None:
    stamp = next_stamp()
    assert [signed(turk, stamp).status for _ in range(2)] == [200, 401]
    # A signature covers key and stamp only, so another endpoint would have taken it, too.
    assert turk.simulator.request("GET", "/api/v1/openOrders", None, turk.headers(stamp - 1)).status == 200
    turk.settings(stamps="increasing")
    assert [signed(turk, value).status for value in (stamp, stamp - 1, stamp + 1)] == [200, 401, 200]
    turk.settings(stamps="any")
    assert [signed(turk, stamp).status for _ in range(2)] == [200, 200]


def test_a_skewed_clock_refuses_honest_stamps(turk: Turk) -> None:
    turk.simulator.fault("clock_skew", ms=6000)
    assert signed(turk, next_stamp()).status == 401
    server = turk.simulator.request("GET", "/api/v2/server/time").body["serverTime"]
    assert server > time.time() * 1000 + 5000
    assert signed(turk, server).status == 200


def test_every_right_guards_its_calls(turk: Turk) -> None:
    calls = {
        "total_funds": ["users/balances"],
        "trade": ["openOrders", "allOrders?pairSymbol=BTCTRY"],
        "account": ["users/transactions/trade", "users/transactions/crypto", "users/transactions/fiat"],
    }
    for right, paths in calls.items():
        other = Turk(turk.simulator, f"only-{right}", f"key-{right}")
        other.open(permissions=[right])
        for owner, allowed in calls.items():
            assert {other.call("GET", f"/api/v1/{path}").status for path in allowed} == {200 if owner == right else 401}
        assert other.limit("buy", "0.001", "2000000").status == (200 if right == "trade" else 401)
        assert paths


def test_a_key_is_bound_to_its_address(simulator: Simulator) -> None:
    for address, status in (("127.0.0.1", 200), ("192.0.2.7", 401)):
        bound = Turk(simulator, address, f"key-{address}")
        bound.open(ip=address)
        assert bound.get("users/balances").status == status


def test_too_many_bad_signatures_in_a_row_block_the_address(turk: Turk) -> None:
    bad = {"X-Signature": base64.b64encode(b"x" * 32).decode()}
    assert {signed(turk, next_stamp(), **bad).status for _ in range(51)} == {401}
    blocked = signed(turk, next_stamp())
    assert (blocked.status, blocked.headers["Content-Type"]) == (403, "text/html; charset=UTF-8")
    turk.simulator.sim("DELETE", "faults")
    assert signed(turk, next_stamp()).status == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"api_secret": "not base64!"}, 400),
        ({"permissions": ["withdraw"]}, 400),
        ({"name": "one"}, 409),
        ({"name": "turk", "api_key": "other"}, 409),
        ({"exchange": "elsewhere"}, 400),
    ],
)
def test_accounts_that_cannot_be(turk: Turk, changes: dict[str, Any], status: int) -> None:
    body = {"exchange": "btcturk", "name": "new", "api_key": "k", "api_secret": SECRET, "balances": {}, **changes}
    reply = turk.simulator.request("POST", "/sim/accounts", str(body).replace("'", '"').encode())
    assert reply.status == status, reply


def test_the_same_key_may_sign_every_call(turk: Turk) -> None:
    assert turk.call("POST", ORDER, {}).status == 400
    assert turk.call("DELETE", ORDER).status == 400
    assert turk.call("PUT", ORDER).status == 405
    assert turk.call("GET", "/api/v1/users/nothing").status == 404
    assert turk.call("GET", "/API/V1/openorders").status == 200
