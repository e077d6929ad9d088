"""What a run came to: the engine's database against the simulator's own truth."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg

from tests.chaos.clients import Ledger
from tests.simulators import ControlApi

QUIET = ("settled", "rejected", "denied")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; ``good`` is None where there is nothing to judge."""

    what: str
    figure: str
    good: bool | None = None


def rows(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a query of the engine's database answers."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement, values).fetchall()  # type: ignore[call-overload]


def restless(url: str) -> dict[str, int]:
    """What still moves: orders by status, commands that are not done, tasks, reservations, breaks that may resolve."""
    orders = rows(url, "SELECT status, count(*) FROM orders_order WHERE status <> ALL(%s) GROUP BY 1", list(QUIET))
    found = {f"orders {status}": count for status, count in orders}
    commands = rows(url, "SELECT count(*) FROM orders_command WHERE status IN ('queued', 'claimed', 'unknown')")
    breaks = rows(
        url,
        "SELECT kind, count(*) FROM orders_break WHERE status IN ('open', 'acknowledged')"
        " AND severity IN ('blocking', 'critical') AND kind <> 'unknown_order' GROUP BY 1",
    )
    found |= {f"breaks {kind}": count for kind, count in breaks}
    reservations = rows(url, "SELECT count(*) FROM risk_reservation WHERE amount > 0 OR exposure > 0")
    return {
        name: count
        for name, count in {**found, "commands": commands[0][0], "reservations": reservations[0][0]}.items()
        if count
    }


def _plain_trades(trades: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter(
        (
            trade["symbol"],
            str(trade["id"]),
            trade["side"],
            Decimal(trade["quantity"]),
            Decimal(trade["price"]),
            trade["commission_asset"],
            Decimal(trade["commission"]) + Decimal(trade.get("tax", 0)),
        )
        for trade in trades
    )


def _booked(url: str, account: str) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for symbol, trade_id, side, quantity, price, fees in rows(
        url,
        "SELECT i.symbol, f.trade_id, f.side, f.quantity, f.price, f.fees FROM positions_fill f"
        " JOIN exchanges_instrument i ON i.id = f.instrument_id JOIN exchanges_account a ON a.id = f.account_id"
        " WHERE a.name = %s",
        account,
    ):
        fees = json.loads(fees) if isinstance(fees, str) else fees
        total = sum((Decimal(fee["amount"]) for fee in fees), Decimal(0))
        asset = fees[0]["asset"] if fees else None
        found[symbol, trade_id, side, quantity, price, asset, total] += 1
    return found


def _same(truth: Counter[tuple[Any, ...]], books: Counter[tuple[Any, ...]]) -> list[str]:
    """Differences in words; a trade without a fee has no asset of its fee in the books."""

    def trimmed(counter: Counter[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
        return Counter({(*key[:5], key[5] if key[6] else None, key[6]): n for key, n in counter.items()})

    missing, extra = trimmed(truth) - trimmed(books), trimmed(books) - trimmed(truth)
    return [f"not in the books: {key}" for key in missing] + [f"not at the exchange: {key}" for key in extra]


def verdict(url: str, control: ControlApi, accounts: list[str], ledger: Ledger) -> tuple[list[Line], list[str]]:
    """The table's lines, and every difference in words."""
    words: list[str] = []
    counters = control.call("GET", "/sim/counters")["client_order_ids"]
    twice = sorted(name for name, count in counters.items() if count["received"] > 1)
    words += [f"POSTed twice: {name}" for name in twice]

    known = {str(row[0]) for row in rows(url, "SELECT id FROM orders_order")}
    lost = [f"{key} → {order}" for key, order in ledger.orders.items() if order not in known]
    ids = set(
        rows(
            url,
            "SELECT a.name, e.exchange_order_id FROM orders_exchangeorder e JOIN orders_order o ON o.id = e.order_id"
            " JOIN exchanges_account a ON a.id = o.account_id",
        )
    )
    lost += [
        f"{account} {order['order_id']} {order['client_order_id']}"
        for account in accounts
        for order in control.call("GET", f"/sim/orders?account={account}")
        if (account, str(order["order_id"])) not in ids
    ]
    words += [f"lost: {name}" for name in lost]

    fills_there = fills_here = 0
    balances_differ: list[str] = []
    for account in accounts:
        truth = _plain_trades(control.call("GET", f"/sim/trades?account={account}"))
        books = _booked(url, account)
        fills_there, fills_here = fills_there + truth.total(), fills_here + books.total()
        words += [f"{account}: {text}" for text in _same(truth, books)]
        ledger_sums = dict(
            rows(
                url,
                "SELECT e.asset, sum(e.amount) FROM positions_ledgerentry e JOIN exchanges_account a"
                " ON a.id = e.account_id WHERE a.name = %s AND e.book = 'exchange' GROUP BY 1",
                account,
            )
        )
        held = control.balances(account)
        for asset in sorted({*ledger_sums, *held}):
            here, there = ledger_sums.get(asset, Decimal(0)), held.get(asset, Decimal(0))
            if here != there:
                balances_differ.append(f"{account} {asset}: ledger {here}, exchange {there}")
    fills_differ = [text for text in words if "not in the books" in text or "not at the exchange" in text]
    words += balances_differ

    unbalanced = rows(
        url,
        "SELECT fill_id, asset, sum(amount) FROM positions_ledgerentry WHERE fill_id IS NOT NULL"
        " GROUP BY 1, 2 HAVING sum(amount) <> 0",
    )
    words += [f"legs of fill {fill} do not balance in {asset}: {total}" for fill, asset, total in unbalanced]
    holding = rows(
        url,
        "SELECT r.order_id FROM risk_reservation r LEFT JOIN orders_order o ON o.id = r.order_id"
        " WHERE (r.amount > 0 OR r.exposure > 0) AND (o.id IS NULL OR o.status = ANY(%s))",
        list(QUIET),
    )
    words += [f"reservation without a live order: {order}" for (order,) in holding]
    ends = Counter(
        dict(rows(url, "SELECT coalesce(ended_as, status), count(*) FROM orders_order GROUP BY 1 ORDER BY 2 DESC"))
    )
    unanswered = len(ledger.unanswered)
    errors = ledger.counts.pop("client calls answered 500", 0)
    posted = sum(1 for count in counters.values() if count["received"])
    lines = [
        Line("orders in the engine", f"{sum(ends.values())}: " + ", ".join(f"{n} {s}" for s, n in ends.most_common())),
        *(Line(what, str(count)) for what, count in sorted(ledger.counts.items())),
        Line("client requests that were never answered", str(unanswered), unanswered == 0),
        Line("client calls answered 500", str(errors), errors == 0),
        Line("client order ids POSTed", str(posted), posted > 0),
        Line("client order ids POSTed twice", str(len(twice)), not twice),
        Line("orders lost", str(len(lost)), not lost),
        Line("fills at the exchange / in the books", f"{fills_there} / {fills_here}", not fills_differ),
        Line("assets where ledger and balance differ", str(len(balances_differ)), not balances_differ),
        Line("fills whose legs do not balance", str(len(unbalanced)), not unbalanced),
        Line("reservations without a live order", str(len(holding)), not holding),
    ]
    return lines, words
