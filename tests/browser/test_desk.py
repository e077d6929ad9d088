"""The desk in a browser: find an order, read its story, cancel it, halt and start everything; wide and narrow."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import BrowserContext, Page, expect

from exchanges.models import Account
from execution_project.staff_groups import grant_to_groups
from orders.models import Command, Order
from risk.models import TradingState
from tests.engines import Engine, drain
from tests.kills import until_verified
from tests.processes import Processes
from tests.waiting import wait_until
from tests.web import start_web

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(180)]

PASSWORD = "a-password-for-the-desk"


def member(name: str, group: str) -> User:
    """A person on the staff with the rights of one group."""
    grant_to_groups()
    person = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    # The web server hashes as production does, the test session does not.
    person.password = "pbkdf2_sha256$1$salt$" + _pbkdf2(PASSWORD)
    person.save()
    person.groups.add(Group.objects.get(name=group))
    return person


def _pbkdf2(password: str) -> str:
    import base64
    import hashlib

    return base64.b64encode(hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1)).decode()


def logged_in(window: BrowserContext, base: str, name: str) -> Page:
    """A page of somebody who has just logged in."""
    page = window.new_page()
    page.goto(f"{base}/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("region", name="Trading state")).to_be_visible()
    return page


def fits(page: Page) -> None:
    """Nothing of the page is wider than the window: nobody scrolls sideways to find a button."""
    page.wait_for_load_state("load")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def resting_order(engine: Engine) -> str:
    """A limit order that works at the exchange."""
    _, order = engine.limit("BUY", "0.01", "50000.00", strategy="demo")
    drain()
    assert Order.objects.get(id=order["id"]).status == "open"
    return str(order["id"])


def test_find_an_order_read_its_story_and_cancel_it(engine: Engine, served: Processes, window: BrowserContext) -> None:
    member("tara", "trader")
    order_id = resting_order(engine)
    engine.limit("BUY", "0.02", "50001.00")
    drain()
    base = start_web(served)
    page = logged_in(window, base, "tara")

    page.goto(f"{base}/admin/orders/order/")
    page.locator("input[name=q]").first.fill(order_id)
    page.locator("input[name=q]").first.press("Enter")
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(1)
    fits(page)
    rows.get_by_role("link").first.click()

    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    for word in ("order accepted", "submit accepted", "Decision on the order: accepted"):
        expect(page.get_by_text(word).first).to_be_visible()
    row = Order.objects.get(id=order_id).exchange_orders.get()
    expect(page.get_by_role("link", name=row.client_order_id)).to_be_visible()
    fits(page)

    page.get_by_role("link", name="Cancel").first.click()
    expect(page.get_by_text("BTCUSDT").first).to_be_visible()
    page.get_by_label("Reason").fill("seen enough of it")
    page.locator("form.bo-form button[type=submit]").click()
    wait_until(Command.objects.filter(order_id=order_id, kind="cancel").exists, 30, "the cancel is asked for")
    drain()
    page.goto(f"{base}/admin/orders/order/{order_id}/change/")
    expect(page.get_by_text("canceled").first).to_be_visible()
    expect(page.get_by_text("user:tara").first).to_be_visible()
    assert Order.objects.get(id=order_id).ended_as == "canceled"
    expect(page.get_by_role("link", name="Cancel", exact=True)).to_have_count(0)


def test_halt_and_start_everything(engine: Engine, served: Processes, window: BrowserContext) -> None:
    member("rita", "risk")
    base = start_web(served)
    page = logged_in(window, base, "rita")
    page.goto(f"{base}/admin/acts/halt")
    page.get_by_label("Reason").fill("a storm")
    page.locator("form.bo-form button[type=submit]").click()
    bar = page.get_by_role("region", name="Trading state")
    expect(bar.get_by_text("HALTED")).to_be_visible()
    assert TradingState.objects.get(scope_kind="global").changed_by == "user:rita"
    status, refused = engine.place()
    assert (status, refused["code"]) == (422, "TRADING_HALTED")

    page.get_by_role("region", name="Trading state").get_by_role("link", name="Start").click()
    page.get_by_label("Reason").fill("it has passed")
    fits(page)
    page.locator("form.bo-form button[type=submit]").click()
    expect(bar.get_by_text("ACTIVE")).to_be_visible()
    engine.refresh()
    assert engine.place()[0] == 202


def test_the_kill_switch_takes_two_clicks_and_a_second_person_lifts_it(
    engine: Engine, served: Processes, window: BrowserContext
) -> None:
    member("olga", "operations")
    member("rita", "risk")
    order_id = resting_order(engine)
    base = start_web(served)
    page = logged_in(window, base, "olga")
    page.goto(f"{base}/admin/exchanges/instrument/")
    page.get_by_role("region", name="Trading state").get_by_role("link", name="Kill switch").click()
    page.locator("form.bo-form button[type=submit]").click()
    expect(page.get_by_role("region", name="Trading state").get_by_text("HALTED")).to_be_visible()
    state = TradingState.objects.get(scope_kind="global")
    assert (state.state, state.latched) == ("HALTED", True)
    episode = until_verified()
    assert Order.objects.get(id=order_id).ended_as == "canceled"
    page.goto(f"{base}/admin/risk/killepisode/{episode.id}/change/")
    fits(page)
    page.get_by_role("link", name="Name the cause").click()
    page.get_by_label("Cause").fill("a drill")
    page.locator("form.bo-form button[type=submit]").click()
    engine.refresh()

    page.goto(f"{base}/admin/acts/start")
    page.get_by_label("Reason").fill("the drill of the desk is over")
    page.locator("form.bo-form button[type=submit]").click()
    assert TradingState.objects.get(scope_kind="global").latched
    window.clear_cookies()
    second = logged_in(window, base, "rita")
    second.goto(f"{base}/admin/")
    second.get_by_role("link", name="Decide").first.click()
    fits(second)
    engine.refresh()
    second.get_by_label("Reason").fill("the books agree")
    second.get_by_role("button", name=re.compile("approve", re.IGNORECASE)).first.click()
    expect(second.get_by_role("region", name="Trading state").get_by_text("REDUCE ONLY")).to_be_visible()
    assert not TradingState.objects.get(scope_kind="global").latched


def test_an_auditor_sees_everything_and_finds_no_button(
    engine: Engine, served: Processes, window: BrowserContext
) -> None:
    member("adam", "auditor")
    order_id = resting_order(engine)
    base = start_web(served)
    page = logged_in(window, base, "adam")
    for path in ("", f"orders/order/{order_id}/change/", f"exchanges/account/{Account.objects.get().pk}/change/"):
        page.goto(f"{base}/admin/{path}")
        fits(page)
        for act in ("Halt", "Kill", "Kill switch", "Cancel", "Sync", "Start"):
            expect(page.get_by_role("link", name=act, exact=True)).to_have_count(0)
    answer = page.goto(f"{base}/admin/acts/kill")
    assert answer is not None and answer.status == 403
