"""Usage against limits and the inbox of approvals in a browser: on the desk, and the form that rehearses a value."""

from __future__ import annotations

from decimal import Decimal

import pytest
from playwright.sync_api import BrowserContext, expect

from execution_project.common.actors import Actor
from execution_project.common.rights import EVERYTHING
from risk.limits import Change, propose, tighten_or_set
from tests.browser.test_desk import fits, logged_in, member, resting_order
from tests.engines import Engine
from tests.factories import BY
from tests.processes import Processes
from tests.web import start_web

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser"), pytest.mark.timeout(180)]


@pytest.mark.parametrize("window", ["phone"], indirect=True)
def test_bars_and_inbox_on_the_desk_and_a_rehearsal(engine: Engine, served: Processes, window: BrowserContext) -> None:
    member("rita", "risk")
    resting_order(engine)
    account = engine.account
    for control, kind, key, value, enforcement in (
        ("max_working_orders", "global", "", "100", "BLOCK"),
        ("max_working_orders", "account", account.name, "1", "BLOCK"),
        ("max_working_orders", "strategy", "demo", "2", "WARN"),
        ("max_turnover_1h", "account", account.name, "750", "BLOCK"),
        ("max_order_rate_60s", "symbol", "BTCUSDT", "1000000", "SHADOW"),
    ):
        tighten_or_set(control, account.mode, kind, key, Decimal(value), reason="x", by=BY, enforcement=enforcement)
    for who, value in (("user:rita", 40), ("user:omar", 50)):
        looser = Change("max_working_orders", account.mode, "account", account.name, Decimal(value), "BLOCK")
        propose(looser, reason="the desk has grown", by=Actor(who, "a test", rights=EVERYTHING))
    base = start_web(served)
    page = logged_in(window, base, "rita")

    panel = page.locator("#limits")
    fullest = panel.locator("ul").first
    expect(fullest.locator("li")).to_have_count(5)
    full, nearly = fullest.get_by_role("img").nth(0), fullest.get_by_role("img").nth(1)
    expect(full).to_have_attribute(
        "aria-label", f"max working orders, account:{account.name}, sandbox: 100 % used, full"
    )
    # 600.05 of 750: the worst value of 0.01 BTC
    expect(nearly).to_have_attribute(
        "aria-label", f"max turnover 1h, account:{account.name}, sandbox: 80 % used, nearly full"
    )
    for bar, share in ((full, 1.0), (nearly, 0.8)):
        drawn, whole = bar.locator("rect").last.bounding_box(), bar.bounding_box()
        assert drawn is not None and whole is not None
        assert abs(drawn["width"] - whole["width"] * share) < 2
    expect(page.get_by_text("1 waits for you")).to_be_visible()
    expect(page.locator("#proposals").get_by_role("link", name="Decide")).to_have_count(1)
    fits(page)

    fullest.get_by_role("link", name="max working orders").first.click()
    page.get_by_role("link", name="Change", exact=True).click()
    expect(page.get_by_text("Waiting for a second person")).to_be_visible()
    page.get_by_label("Limit", exact=True).select_option("max_order_notional")
    page.get_by_label("Value").fill("100")
    page.get_by_role("button", name="Rehearse").click()
    expect(page.get_by_text("1 would have been denied")).to_be_visible()
    fits(page)
