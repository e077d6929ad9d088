"""``manage.py value_books``: what the books are worth now, with every mark, its age and its path."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.management_command import Partly
from execution_project.common.money import plain, plain_or_none
from positions.equity import Standing, stand_now


class Command(AccountCommand):
    """Reads; writes nothing."""

    help = "Equity now, of accounts, strategies and modes; exit code 3 when a mark is missing."

    def add_arguments(self, parser: CommandParser) -> None:
        """The accounts."""
        parser.add_argument("--account", action="append", default=[], help="of this account; may be given again")

    def handle(self, *args: Any, **options: Any) -> None:
        """A block for each scope: its lines, its equity, and how it stands against its high-water mark."""
        wanted = {account.pk for account in self.accounts(options["account"])}
        shown = stand_now()
        if options["account"]:
            shown = [one for one in shown if one.scope == "account" and one.owner_id in wanted]
        for one in shown:
            self.answer(_document(one), _text(one))
        if not shown:
            self.answer({"scopes": 0}, "Nothing to value: no books are open.")
        elif incomplete := sum(one.value.equity is None for one in shown):
            raise Partly(f"{incomplete} of {len(shown)} have no equity: a mark or a cost is missing.")


def _document(one: Standing) -> dict[str, Any]:
    value, measured = one.value, one.measured
    return {
        "scope": one.scope,
        "name": one.name,
        "mode": one.mode,
        "currency": one.currency,
        "equity": plain_or_none(value.equity),
        "missing": list(value.missing),
        "nav": plain_or_none(measured.nav),
        "hwm_nav": plain_or_none(one.hwm_nav),
        "drawdown": {
            "trailing": plain_or_none(measured.trailing),
            "daily": plain_or_none(measured.daily),
            "static": plain_or_none(measured.static),
            "absolute": plain_or_none(measured.absolute),
            "daily_loss": plain_or_none(measured.daily_loss),
        },
        "marks": [line.document() for line in value.lines],
    }


def _text(one: Standing) -> str:
    lines = [f"{one.name} ({one.mode})"]
    for line in one.value.lines:
        start = f"  {plain(line.amount):>24} {line.asset:<8} {line.exchange:<8}"
        if line.rate is None:
            lines.append(f"{start} no mark")
            continue
        way = " → ".join(line.rate.path) or "the currency itself"
        tenths = line.rate.age // timedelta(milliseconds=100)
        age = f"{tenths // 10}.{tenths % 10} s old, " if line.rate.path else ""
        lines.append(f"{start} × {plain(line.rate.price)} = {plain_or_none(line.worth)}  ({age}{way})")
    if one.value.equity is None:
        lines.append(f"  equity is not known: {', '.join(one.value.missing)}")
    else:
        lines.append(f"  equity {plain(one.value.equity)} {one.currency}")
    if one.measured.nav is not None:
        trailing = "unknown" if one.measured.trailing is None else f"{one.measured.trailing * 100:.4f} %"
        lines.append(
            f"  NAV {plain(one.measured.nav)}, highest {plain_or_none(one.hwm_nav)}, drawdown {trailing},"
            f" loss today {plain_or_none(one.measured.daily_loss) or 'unknown'}"
        )
    return "\n".join(lines)
