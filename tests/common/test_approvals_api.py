"""Approvals at the API: the owner of the key is the second person."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from execution_project.common.models import Approval
from risk.limits import newest, tighten_or_set
from tests.factories import BY, AccountFactory, api_key

pytestmark = pytest.mark.django_db
KEY = ("max_order_notional", "sandbox", "account", "main")
NOBODYS = "01990000-0000-7000-8000-000000000000"


def call(method: str, path: str, key: str, body: Any = None) -> Any:
    answer = Client().generic(
        method,
        f"/api/exec/{path}",
        b"" if body is None else json.dumps(body).encode(),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )
    return answer.status_code, answer.json()


@pytest.fixture
def olga(db: None) -> str:
    """Who asks."""
    AccountFactory(name="main")
    tighten_or_set(*KEY, Decimal(100), reason="x", by=BY)
    return api_key(owner="olga")


def proposed(key: str, value: str = "200") -> str:
    body = {"control": KEY[0], "scope": {"account": "main"}, "value": value, "reason": "the desk has grown"}
    status, document = call("POST", "limits", key, body)
    assert status == 202
    return str(document["approval"]["id"])


def value_now() -> Decimal | None:
    row = newest(*KEY)
    assert row is not None
    return row.value


def test_a_second_persons_key_approves_and_it_is_done_at_once(olga: str) -> None:
    rita = api_key("read", "approve", owner="rita")
    asked = proposed(olga)
    assert call("POST", "limits", rita, {})[1]["code"] == "MISSING_SCOPE"
    status, shown = call("GET", f"approvals/{asked}", rita)
    assert (status, shown["subject"]) == (200, "max_order_notional/sandbox/account:main")
    assert any("100 (BLOCK) becomes 200 (BLOCK)" in line for line in shown["effects"])
    status, document = call("POST", f"approvals/{asked}/approve", rita)
    assert (status, document["approval"]["approved"], document["approval"]["used_at"] is None) == (200, True, False)
    assert "is 200 (BLOCK) now, version 2" in document["done"]
    assert value_now() == 200
    assert call("GET", f"approvals/{asked}", rita)[1]["effects"] == []
    assert call("POST", f"approvals/{asked}/approve", rita)[1]["code"] == "APPROVAL_DECIDED"
    assert value_now() == 200


def test_whoever_asked_is_no_second_person_by_another_key(olga: str) -> None:
    asked = proposed(olga)
    for key, code in (
        (olga, "APPROVAL_OWN_REQUEST"),
        (api_key(owner=" Olga "), "APPROVAL_OWN_REQUEST"),
        (api_key(), "KEY_WITHOUT_OWNER"),
        (api_key(owner="rita", accounts=["main"]), "SCOPE_NOT_ALLOWED"),
        (api_key("read", "trade", "operate", owner="rita"), "MISSING_SCOPE"),
    ):
        for word in ("approve", "reject"):
            status, document = call("POST", f"approvals/{asked}/{word}", key)
            assert (status, document["code"]) == (403, code)
    assert value_now() == 100
    assert Approval.objects.get().decided_at is None


def test_what_a_key_without_an_owner_asked_for_is_not_decided_by_keys(olga: str) -> None:
    asked = proposed(api_key())
    status, document = call("POST", f"approvals/{asked}/approve", api_key(owner="rita"))
    assert (status, document["code"]) == (403, "KEY_WITHOUT_OWNER")
    assert value_now() == 100


def test_a_rejected_proposal_changes_nothing_and_is_final(olga: str) -> None:
    rita, asked = api_key(owner="rita"), proposed(olga)
    status, document = call("POST", f"approvals/{asked}/reject", rita, {})
    assert (status, document["approval"]["approved"], document["done"]) == (200, False, "Refused.")
    assert call("POST", f"approvals/{asked}/approve", rita)[1]["code"] == "APPROVAL_DECIDED"
    assert value_now() == 100


def test_a_grant_that_could_not_be_carried_out_says_why(olga: str) -> None:
    rita, asked = api_key(owner="rita"), proposed(olga)
    tighten_or_set(*KEY, Decimal(50), reason="x", by=BY)
    for _ in range(2):
        status, document = call("POST", f"approvals/{asked}/approve", rita)
        assert (status, document["code"]) == (409, "LIMIT_CHANGED")
    assert value_now() == 50


def test_proposals_are_listed_by_pages_and_a_bound_key_sees_its_own(olga: str) -> None:
    rita = api_key(owner="rita")
    first, second, third = (proposed(olga, value) for value in ("200", "300", "400"))
    call("POST", f"approvals/{first}/reject", rita)

    def listed(query: str = "", key: str = rita) -> list[str]:
        return [row["id"] for row in call("GET", f"approvals{query}", key)[1]["approvals"]]

    assert listed() == [third, second, first]
    assert listed("?open=true") == [third, second]
    assert listed("?open=false") == [first]
    assert listed("?act=lift_latch") == []
    start = call("GET", "approvals?limit=2", rita)[1]
    assert [row["id"] for row in start["approvals"]] == [third, second]
    assert listed(f"?limit=2&after={start['next']}") == [first]
    bound = api_key(owner="rita", accounts=["main"])
    assert listed("", bound) == []
    assert call("GET", f"approvals/{third}", bound)[1]["code"] == "UNKNOWN_APPROVAL"


def test_what_is_sent_wrong_is_said(olga: str) -> None:
    rita, asked = api_key(owner="rita"), proposed(olga)
    assert call("POST", f"approvals/{asked}/approve", rita, {"reason": "x"})[1]["code"] == "INVALID_REQUEST"
    assert call("POST", f"approvals/{NOBODYS}/approve", rita)[1]["code"] == "UNKNOWN_APPROVAL"
    assert call("GET", f"approvals/{NOBODYS}", rita)[1]["code"] == "UNKNOWN_APPROVAL"
    assert call("GET", "approvals?open=maybe", rita)[1]["code"] == "INVALID_PARAMETER"
    assert value_now() == 100
