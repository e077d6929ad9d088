"""Changing a limit in the admin: at once where it gets tighter, by two persons where it gets looser."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from execution_project.back_office import limit_acts
from execution_project.common.models import Approval
from risk.limits import newest
from risk.models import Limit
from tests.factories import AccountFactory, LimitFactory
from tests.risk.decided import control, decided
from tests.staff import signed_in, text_of

pytestmark = pytest.mark.django_db
KEY = ("max_order_notional", "sandbox", "account", "main")


def answers(**changes: str) -> dict[str, str]:
    filled = {"control": "max_order_notional", "scope": "account:main", "mode": "sandbox", "value": "100"}
    return {**filled, "enforcement": "BLOCK", "expires_at": "", "reason": "a careful start", **changes}


@pytest.fixture(autouse=True)
def _main(db: None) -> None:
    AccountFactory(name="main")


def test_one_person_sets_and_tightens_and_a_second_one_loosens() -> None:
    client, address = signed_in("risk"), reverse("admin:act_limit")
    assert client.post(address, answers()).status_code == 302
    answer = client.post(address, answers(value="90"), follow=True)
    assert "version 2" in text_of(answer)
    looser = client.post(address, answers(value="200"), follow=True)
    assert "waits for a second person" in text_of(looser)
    row = newest(*KEY)
    assert row is not None
    assert (row.value, row.set_by) == (Decimal(90), "user:mira")
    second = signed_in("risk", name="omar")
    decision = reverse("admin:act_decide", args=[Approval.objects.get().id])
    assert "90 (BLOCK) becomes 200 (BLOCK)" in text_of(second.get(decision))
    assert second.post(decision, {"decision": "approve", "reason": "agreed"}).status_code == 302
    assert Limit.objects.order_by("-version")[0].value == 200


def test_the_page_begins_with_what_counts_and_is_opened_from_the_list() -> None:
    row = LimitFactory(value=Decimal("750"))
    client = signed_in("risk")
    query = "?control=max_order_notional&mode=sandbox&kind=account&key=main"
    assert query.replace("&", "&amp;") in text_of(client.get(reverse("admin:risk_limit_change", args=[row.pk])))
    shown = text_of(client.get(reverse("admin:act_limit") + query))
    assert 'value="750"' in shown
    assert "750 (BLOCK), version 1" in shown


@pytest.mark.parametrize(
    "changes",
    [{"value": "-1"}, {"value": "1e3"}, {"scope": "account:nobody"}, {"scope": "x"}, {"control": "x"}, {"reason": ""}],
)
def test_what_is_filled_in_wrong_comes_back_with_its_error(changes: dict[str, Any]) -> None:
    answer = signed_in("risk").post(reverse("admin:act_limit"), answers(**changes))
    assert answer.status_code == 400
    assert not Limit.objects.exists()


def test_a_value_is_rehearsed_from_the_form_and_changes_nothing() -> None:
    seen = {"limits": {"account:main": {"observed": "75"}}}
    small = decided("main", "", None, control("max_order_notional", observed="75", inputs=seen))
    large = decided("main", "", None, control("max_order_notional", observed="150", inputs={"limits": {}}))
    decided("main", "", None, control("max_order_notional", "not_applicable"))
    decided("other", "", None, control("max_order_notional", observed="500"))
    client = signed_in("risk")
    tried = answers(value="100", reason="", do="rehearse", days="7")
    page = text_of(client.post(reverse("admin:act_limit"), tried))
    assert "Of 3 accepted decisions of the last 7 d, 1 would have been denied" in page
    assert "1 were none of its business. Nothing was changed." in page
    assert f"/admin/risk/decision/{large.id}/change/" in page and str(small.id) not in page
    assert "observed 150" in page and 'value="100"' in page
    assert not Limit.objects.exists() and not Approval.objects.exists()
    off = client.post(reverse("admin:act_limit"), {**tried, "value": "off"})
    assert off.status_code == 400 and "nothing to rehearse" in off.content.decode()


def test_a_rehearsal_looks_at_the_newest_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_acts, "REHEARSED", 2)
    for observed in ("500", "150", "75"):
        decided("main", "", None, control("max_order_notional", observed=observed))
    tried = answers(value="100", reason="", do="rehearse")
    page = text_of(signed_in("risk").post(reverse("admin:act_limit"), tried))
    assert "Of 2 accepted decisions of the last 1 d, the newest, 1 would have been denied" in page


def test_the_page_shows_what_waits_for_a_second_person() -> None:
    client, address = signed_in("risk"), reverse("admin:act_limit")
    client.post(address, answers())
    client.post(address, answers(value="200"))
    shown = text_of(client.get(f"{address}?control=max_order_notional&mode=sandbox&kind=account&key=main"))
    assert "Waiting for a second person" in shown and "200 (BLOCK)" in shown and "asked by user:mira" in shown
