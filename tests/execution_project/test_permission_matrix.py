"""Who may do what: every staff group at every page and act of the admin, every key scope at every call of the API.

The tables below are written by hand and not derived from the code; a page, an act or a call that is in none of them
fails these tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import models
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.views import APIView

from execution_project.common import clock
from execution_project.common.models import ApiKey, Approval
from risk.trading_state import halt
from tests.factories import (
    BY,
    AccountFactory,
    AlertFactory,
    BreakFactory,
    CircuitFactory,
    FillFactory,
    HoldingFactory,
    StrategyFactory,
    api_key,
    lost_order,
    whole_order,
)
from tests.kills import take_for_proven
from tests.people import client_of, person
from tests.positions.books import posted

pytestmark = pytest.mark.django_db

GROUPS = ("auditor", "trader", "risk", "operations", "administrator")
EVERYBODY = frozenset(GROUPS)
ADMINISTRATOR = frozenset({"administrator"})

# Act of the admin: the groups that may do it.
ACTS: dict[str, frozenset[str]] = {
    "act_halt": frozenset({"trader", "risk", "operations", "administrator"}),
    "act_kill": frozenset({"trader", "risk", "operations", "administrator"}),
    "act_start": frozenset({"risk", "operations", "administrator"}),
    "act_kill_cause": frozenset({"risk", "operations", "administrator"}),
    "act_flatten": frozenset({"trader", "risk", "operations", "administrator"}),
    "act_cancel_scope": frozenset({"trader", "risk", "operations", "administrator"}),
    "act_cancel_order": frozenset({"trader", "risk", "operations", "administrator"}),
    "act_resolve_order": frozenset({"operations", "administrator"}),
    "act_acknowledge_break": frozenset({"operations", "administrator"}),
    "act_resolve_break": frozenset({"operations", "administrator"}),
    "act_acknowledge_alert": frozenset({"trader", "risk", "operations", "administrator"}),
    "act_close_circuit": frozenset({"risk", "operations", "administrator"}),
    "act_limit": frozenset({"risk", "administrator"}),
    "act_sync": frozenset({"operations", "administrator"}),
    "act_decide": frozenset({"risk", "operations", "administrator"}),
    "exchanges_account_credentials": ADMINISTRATOR,
    "exchanges_account_market_orders": ADMINISTRATOR,
    "common_apikey_revoke": ADMINISTRATOR,
    "positions_fill_statements": EVERYBODY,
    "positions_fill_correct": frozenset({"operations", "administrator"}),
    "positions_posting_classify": frozenset({"operations", "administrator"}),
}
# Page that is no model's: who may read it; None: it is for everybody on the staff and tells nothing of ours.
PAGES: dict[str, frozenset[str] | None] = {
    "index": None,  # without the right to view it is empty: test_back_office_shell
    "live_bar": None,
    "live_desk": None,
    "live_chores": frozenset({"operations", "administrator"}),
    "positions_holding_owned": EVERYBODY,
    "search": None,
    "password_change": None,
    "password_change_done": None,
    "app_list": None,
}
# Of Django, without anything of ours behind them.
OPEN = {"login", "logout", "jsi18n", "autocomplete", "view_on_site", None}
# Model: who may see its pages; models that are not named are for every group.
SEEN_BY: dict[str, frozenset[str]] = {
    "auth.User": ADMINISTRATOR,
    "auth.Group": ADMINISTRATOR,
    "django_q.OrmQ": frozenset(),
    "django_q.Schedule": frozenset(),
    "django_q.Success": frozenset(),
    "django_q.Failure": frozenset(),
}
# Model: who may add rows; for all others nobody may. Rows are deleted by nobody.
ADDED_BY: dict[str, frozenset[str]] = {
    "auth.User": ADMINISTRATOR,
    "exchanges.Account": ADMINISTRATOR,
    "common.ApiKey": ADMINISTRATOR,
    "common.Strategy": ADMINISTRATOR,
}

# Call of the API: the key scopes that may make it; an empty set: for everybody, without a key.
API: dict[tuple[str, str], frozenset[str]] = {
    ("POST", "order"): frozenset({"trade"}),
    ("GET", "order/<uuid:order_id>"): frozenset({"read"}),
    ("PATCH", "order/<uuid:order_id>"): frozenset({"trade"}),
    ("DELETE", "order/<uuid:order_id>"): frozenset({"trade", "operate"}),
    ("POST", "order/<uuid:order_id>/resolve"): frozenset({"operate"}),
    ("POST", "order/<uuid:order_id>/override"): frozenset({"operate"}),
    ("GET", "orders"): frozenset({"read"}),
    ("DELETE", "orders"): frozenset({"trade", "operate"}),
    ("GET", "accounts"): frozenset({"read"}),
    ("GET", "balances"): frozenset({"read"}),
    ("GET", "instruments"): frozenset({"read"}),
    ("GET", "positions"): frozenset({"read"}),
    ("GET", "holdings"): frozenset({"read"}),
    ("GET", "pnl"): frozenset({"read"}),
    ("GET", "fills"): frozenset({"read"}),
    ("GET", "equity"): frozenset({"read"}),
    ("GET", "state"): frozenset({"read"}),
    ("GET", "risk"): frozenset({"read"}),
    ("GET", "limits"): frozenset({"read"}),
    ("POST", "limits"): frozenset({"operate"}),
    ("GET", "decisions"): frozenset({"read"}),
    ("GET", "breaches"): frozenset({"read"}),
    ("GET", "approvals"): frozenset({"read"}),
    ("GET", "approvals/<uuid:approval_id>"): frozenset({"read"}),
    ("POST", "approvals/<uuid:approval_id>/approve"): frozenset({"approve"}),
    ("POST", "approvals/<uuid:approval_id>/reject"): frozenset({"approve"}),
    ("GET", "breaks"): frozenset({"read"}),
    ("POST", "breaks/<uuid:break_id>/acknowledge"): frozenset({"operate"}),
    ("POST", "breaks/<uuid:break_id>/resolve"): frozenset({"operate"}),
    ("GET", "alerts"): frozenset({"read"}),
    ("POST", "alerts/<uuid:alert_id>/ack"): frozenset({"operate"}),
    ("POST", "stop"): frozenset({"operate"}),
    ("POST", "start"): frozenset({"operate"}),
    ("POST", "kill"): frozenset({"operate"}),
    ("GET", "kills"): frozenset({"read"}),
    ("GET", "kills/<uuid:kill_id>"): frozenset({"read"}),
    ("POST", "kills/<uuid:kill_id>/cause"): frozenset({"operate"}),
    ("GET", "kills/<uuid:kill_id>/flatten"): frozenset({"operate"}),
    ("POST", "kills/<uuid:kill_id>/flatten"): frozenset({"operate"}),
    ("GET", "schema"): frozenset(),
    ("GET", "docs"): frozenset(),
}


def _admin_patterns() -> Iterator[URLPattern]:
    def walk(entries: list[Any]) -> Iterator[URLPattern]:
        for entry in entries:
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns)
            else:
                yield entry

    return walk(admin.site.get_urls())


def _model_pages() -> set[str]:
    kinds = ("changelist", "add", "change", "delete", "history")
    return {f"{m._meta.app_label}_{m._meta.model_name}_{kind}" for m in admin.site._registry for kind in kinds}


@pytest.fixture
def people() -> dict[str, Client]:
    """One browser per group, and one of somebody without any."""
    return {group: client_of(person(f"p-{group}", group)) for group in GROUPS} | {"nobody": client_of(person("nobody"))}


def _allowed(response: HttpResponse) -> bool:
    """Not refused; what is wrong with an empty form is another matter."""
    return response.status_code not in {302, 403}


@pytest.fixture
def address() -> dict[str, str]:
    """Where each act and page is."""
    now = clock.now()
    approval = Approval.objects.create(
        act="lift_latch",
        subject="global",
        reason="x",
        requested_by="user:eve",
        requested_at=now,
        expires_at=now + timedelta(hours=1),
    )
    account = AccountFactory()
    api_key("read")
    halt("strategy", "killed", reason="x", by=BY, latched=True)
    kill = take_for_proven("strategy", "killed")
    HoldingFactory(asset="BTC", strategy=StrategyFactory(name="killed"))
    arguments: dict[str, list[Any]] = {
        "act_cancel_order": [whole_order(status="open").id],
        "act_resolve_order": [lost_order().id],
        "act_acknowledge_break": [BreakFactory().id],
        "act_resolve_break": [BreakFactory().id],
        "act_acknowledge_alert": [AlertFactory().pk],
        "act_close_circuit": [CircuitFactory().pk],
        "act_sync": [account.pk],
        "live_chores": [account.pk],
        "act_decide": [approval.id],
        "exchanges_account_credentials": [account.pk],
        "exchanges_account_market_orders": [account.pk],
        "common_apikey_revoke": [ApiKey.objects.get().pk],
        "positions_fill_correct": [FillFactory().pk],
        "positions_posting_classify": [posted(account, "transfer", "BTC", "1").pk],
        "app_list": ["orders"],
        "act_kill_cause": [kill.id],
        "act_flatten": [kill.id],
    }
    return {name: reverse(f"admin:{name}", args=arguments.get(name, [])) for name in [*ACTS, *PAGES]}


def test_every_page_and_act_of_the_admin_has_a_row() -> None:
    names = {pattern.name for pattern in _admin_patterns()}
    known = set(ACTS) | set(PAGES) | OPEN | _model_pages()
    # a user's password is changed by whoever may change the user
    assert names - known - {"auth_user_password_change"} == set()
    assert (set(ACTS) | set(PAGES)) <= names


@pytest.mark.parametrize("act", ACTS)
def test_acts(act: str, people: dict[str, Client], address: dict[str, str]) -> None:
    for who, client in people.items():
        expected = who in ACTS[act]
        assert _allowed(client.get(address[act])) is expected, (who, "GET")
        if expected and act == "common_apikey_revoke":
            continue  # its POST takes no form that could be wrong
        assert _allowed(client.post(address[act], {})) is expected, (who, "POST")


@pytest.mark.parametrize("page", PAGES)
def test_pages(page: str, people: dict[str, Client], address: dict[str, str]) -> None:
    for who, client in people.items():
        allowed = PAGES[page]
        response = client.get(address[page])
        if page == "app_list" and who == "nobody":
            assert response.status_code == 404
        else:
            assert (response.status_code == 200) is (allowed is None or who in allowed), who


def test_strangers_are_sent_to_the_login(address: dict[str, str]) -> None:
    strangers = [Client(), client_of(_customer())]
    for client in strangers:
        for where in [*address.values(), *(_changelist(model) for model in admin.site._registry)]:
            for response in (client.get(where), client.post(where, {"reason": "x"})):
                assert response.status_code == 302, where
                assert response["Location"].startswith("/admin/login/"), where


def _customer() -> Any:
    user = person("outsider", *GROUPS)
    user.is_staff = False
    user.save()
    return user


def _label(model: type[models.Model]) -> str:
    return model._meta.label


def _changelist(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


@pytest.mark.parametrize("model", admin.site._registry, ids=_label)
def test_lists_and_additions(model: type[models.Model], people: dict[str, Client]) -> None:
    add = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
    for who, client in people.items():
        seen = who in SEEN_BY.get(_label(model), EVERYBODY)
        assert (client.get(_changelist(model)).status_code == 200) is seen, who
        added = who in ADDED_BY.get(_label(model), frozenset())
        assert (client.get(add).status_code == 200) is added, who


@pytest.mark.parametrize("model", admin.site._registry, ids=_label)
def test_nothing_is_deleted_and_nothing_of_ours_is_changed(model: type[models.Model], rf: Any) -> None:
    page = admin.site._registry[model]
    for group in GROUPS:
        request = rf.get("/admin/")
        request.user = person(f"d-{group}", group)
        assert not page.has_delete_permission(request), group
        assert "delete_selected" not in page.get_actions(request), group
        changed = page.has_change_permission(request)
        assert changed is (group == "administrator" and _label(model) == "auth.User"), group


# ---------------------------------------------------------------------------------------------------------------- API


def _api_calls() -> set[tuple[str, str]]:
    """Every method of every path under /api/exec/."""

    def walk(entries: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for entry in entries:
            path = prefix + str(entry.pattern)
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns, path)
            else:
                yield path, entry.callback

    calls = set()
    for path, callback in walk(get_resolver().url_patterns, ""):
        if path.startswith("api/"):
            view = getattr(callback, "cls", None) or callback.view_class
            for method in ("get", "post", "put", "patch", "delete"):
                if hasattr(view, method):
                    calls.add((method.upper(), path.removeprefix("api/exec/")))
    return calls


def test_every_call_of_the_api_has_a_row() -> None:
    assert _api_calls() == set(API)


@pytest.mark.parametrize(("method", "route"), API, ids=lambda part: part)
def test_api(method: str, route: str) -> None:
    def call(*scopes: str) -> HttpResponse:
        headers = {"Authorization": f"Bearer {api_key(*scopes)}"} if scopes else {}
        path = re.sub(r"<uuid:[a-z_]+>", "01990000-0000-7000-8000-000000000000", route)
        return Client().generic(method, f"/api/exec/{path}", b"{}", content_type="application/json", headers=headers)

    allowed = API[method, route]
    if not allowed:
        assert call().status_code == 200
        return
    assert call().status_code == 401
    for scope in ("read", "trade", "operate", "approve"):
        response: Any = call(scope)
        refused = response.status_code == 403 and response.json()["code"] == "MISSING_SCOPE"
        assert refused is (scope not in allowed), (scope, response.content)


def test_every_api_view_declares_the_right_for_each_of_its_methods() -> None:
    for pattern in get_resolver().url_patterns:
        for entry in getattr(pattern, "url_patterns", []):
            view = getattr(entry.callback, "cls", None)
            if view is not None and issubclass(view, APIView) and hasattr(view, "rights"):
                handlers = {
                    method.upper() for method in ("get", "post", "put", "patch", "delete") if hasattr(view, method)
                }
                assert handlers == set(view.rights), view
