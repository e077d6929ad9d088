"""An order's explanation as one page of text for a terminal, at most 100 columns wide."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

WIDTH = 100
MOST_ROWS = 60
MOST_EVIDENCE = 300
UNKNOWN = {"submit_unknown", "closed_unverified"}

Document = dict[str, Any]


def order_page(document: Document) -> str:
    """The whole page: request, decision, exchange orders, commands with attempts, fills, reservation, events."""
    lines = [*_head(document)]
    if document["status"] in UNKNOWN:
        lines += _section("What is known of it so far", _search(document))
    if document["evidence"]:
        lines += _section("Evidence", _each(document["evidence"], _round))
    lines += _section("Decision", _decisions(document))
    lines += _section("Exchange orders", _each(document["exchange_orders"], _exchange_order))
    lines += _section("Commands", _each(document["commands"], _command))
    lines += _section("Fills", _each(document["fills"], _fill))
    lines += _section("Reservation", _each(document["reservations"], _reservation))
    lines += _section("Events", _each(document["events"], _event))
    return "\n".join(lines)


def _wrapped(text: str, indent: int) -> list[str]:
    """One entry: its first line indented, what does not fit further in."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4), break_on_hyphens=False
    )


def _section(title: str, lines: Iterator[str]) -> list[str]:
    return ["", title, "-" * len(title), *(list(lines) or ["  none"])]


def _each(rows: list[Document], show: Any) -> Iterator[str]:
    """Every row as text; of very many the newest."""
    if len(rows) > MOST_ROWS:
        yield f"  … {len(rows) - MOST_ROWS} older ones: see --json"
    for row in rows[-MOST_ROWS:]:
        yield from show(row)


def _clock(text: str | None) -> str:
    """A time to the millisecond; the date is kept, for orders that live long."""
    if text is None:
        return "–"
    moment, _, rest = text.removesuffix("Z").partition(".")
    return f"{moment}.{(rest + '000')[:3]}Z"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_EVIDENCE else f"{text[:MOST_EVIDENCE]}…"


def request_line(order: Document) -> str:
    """What was asked for, in one line."""
    size = order["quantity"] or f"for {order['quote_quantity']}"
    words = [order["side"], order["type"], size, order["symbol"]]
    for name, label in (("price", "at"), ("stop_price", "stop"), ("time_in_force", "")):
        if order[name]:
            words += [word for word in (label, order[name]) if word]
    if order["protection_price"]:
        words.append(f"sent as LIMIT IOC at {order['protection_price']}")
    if order["reduce_only"]:
        words.append("reduce-only")
    return " ".join(words)


def state_line(order: Document) -> str:
    """Where it stands, in one line."""
    ended = f" ({order['ended_as']})" if order["ended_as"] not in {None, order["status"]} else ""
    at = f" at {order['average_price']} on average" if order["average_price"] else ""
    return f"{order['status']}{ended}, filled {order['filled_quantity']}{at}"


def _head(document: Document) -> Iterator[str]:
    yield f"Order {document['id']}"
    yield from _wrapped(request_line(document), 2)
    where = f"{document['account']}, {document['exchange']} {document['mode']}"
    yield from _wrapped(f"on {where}, strategy {document['strategy'] or 'none'}", 2)
    if document["effect"] is not None:
        yield from _wrapped(f"{document['effect']} exposure, as its decision knew it", 2)
    if document["origin"] != "engine":
        yield from _wrapped(f"{document['origin']}: found at the exchange, it passed no gate here", 2)
    yield from _wrapped(f"now {state_line(document)}", 2)
    if document["reason"]:
        yield from _wrapped(f"because {document['reason']}: {document['detail']}", 2)
    yield from _wrapped(f"asked for by {document['created_by']} under key {document['idempotency_key']}", 2)
    yield f"  created {_clock(document['created_at'])}, last changed {_clock(document['updated_at'])}"
    yield f"  to be sent by {_clock(document['valid_until'])}"


def _search(document: Document) -> Iterator[str]:
    yield from _wrapped(
        "Its fate at the exchange is not known. It is looked for and never sent again; its reservation stays.", 2
    )
    for row in document["looked_for"]:
        yield from _wrapped(
            f"{row['client_order_id']}: looked for {row['looked']} times, last {_clock(row['last_looked_at'])},"
            f" next {_clock(row['look_next_at'])}, last report {_clock(row['last_report_at'])}",
            2,
        )
    if not document["evidence"]:
        yield "  No round of the proof of absence was made yet."


def _round(row: Document) -> Iterator[str]:
    """A round of looking for it: when, what for, what it came to, whether it counts."""
    detail = f": {row['detail']}" if row["detail"] else ""
    counts = "counts" if row["counts"] else f"does not count, {row['why_not']}"
    yield from _wrapped(f"{_clock(row['asked_at'])} round {row['verdict']}{detail}; {counts}", 2)
    for answer in row["answers"]:
        said = answer.get("error") or f"HTTP {answer.get('http_status')}, {answer.get('characters')} characters"
        yield from _wrapped(f"{answer['call']}: {said}", 6)


def _decisions(document: Document) -> Iterator[str]:
    if document["decision"] is None:
        yield "  none: it was found at the exchange"
    else:
        yield from _decision("order", document["decision"])
    for decision in document["replace_decisions"]:
        yield from _decision("replace", decision)


def _decision(about: str, decision: Document) -> Iterator[str]:
    verdict = "accepted" if decision["accepted"] else f"denied: {', '.join(decision['breaches'])}"
    yield from _wrapped(f"{about} {verdict}, {_clock(decision['decided_at'])}", 2)
    for control in decision["controls"]:
        numbers = "".join(
            f"  {name} {control[name]}" for name in ("observed", "limit", "headroom") if control.get(name) is not None
        )
        yield from _wrapped(f"{control['number']:>2} {control['control']:<20} {control['outcome']}{numbers}", 4)
        if control.get("detail"):
            yield from _wrapped(control["detail"], 8)


def _exchange_order(row: Document) -> Iterator[str]:
    planned = ", planned" if row["planned"] else ""
    yield f"  {row['generation']}  {row['client_order_id']}  exchange id {row['exchange_order_id'] or 'none yet'}"
    size = row["quantity"] or f"for {row['quote_quantity']}"
    at = f" at {row['price']}" if row["price"] else ""
    unbooked = "" if row["unbooked_quantity"] == "0" else f", of it not booked yet {row['unbooked_quantity']}"
    reported = f"reported {row['reported_status'] or 'nothing'}, traded {row['cumulative_quantity']}{unbooked}"
    ended = f", ended: {row['end_proof']}" if row["end_proof"] else ", not proven ended"
    yield from _wrapped(f"{size}{at}{planned}; {reported}{ended}", 5)


def _command(row: Document) -> Iterator[str]:
    how = f" by {row['method']} to {row['new_quantity']} at {row['new_price']}" if row["method"] else ""
    reason = f" ({row['reason']})" if row["reason"] else ""
    head = f"{_clock(row['created_at'])} {row['kind']}{how} {row['status']}, asked for by {row['requested_by']}{reason}"
    yield from _wrapped(head, 2)
    for attempt in row["attempts"]:
        said = " ".join(part for part in (attempt["code"], attempt["message"]) if part)
        said = said or _short(attempt["response"].get("error", ""))
        request = attempt["request"]
        what = f"{request.get('method', '')} {request.get('path', '')}".strip() or attempt["kind"]
        status = attempt["response"].get("http_status")
        answer = "no answer" if attempt["answered_at"] is None else f"HTTP {status}" if status else "no HTTP answer"
        outcome = f"{attempt['outcome'] or 'in flight'}{f' ({said})' if said else ''}"
        yield from _wrapped(
            f"{_clock(attempt['claimed_at'])} {what}, {answer} {_clock(attempt['answered_at'])}: {outcome}", 4
        )
        if request.get("parameters"):
            yield from _wrapped(f"sent {_short(request['parameters'])}", 6)
        if attempt["response"].get("body"):
            yield from _wrapped(f"answer {_short(attempt['response']['body'])}", 6)


def _fill(row: Document) -> Iterator[str]:
    fees = ", ".join(f"{fee['amount']} {fee['asset']} {fee['kind']}" for fee in row["fees"]) or "no fees"
    maker = {True: ", maker", False: ", taker", None: ""}[row["is_maker"]]
    made_up = f", made up by {row['model']}" if row["model"] else ""
    yield from _wrapped(
        f"{_clock(row['traded_at'])} {row['side']} {row['quantity']} at {row['price']} ({fees}){maker},"
        f" trade {row['trade_id']} of {row['exchange_order_id']}{made_up}",
        2,
    )


def _reservation(row: Document) -> Iterator[str]:
    yield from _wrapped(f"{row['amount']} {row['asset']}, exposure {row['exposure']} ({row['client_order_id']})", 2)


def _event(row: Document) -> Iterator[str]:
    to = f" → {row['to_status']}" if row["to_status"] else ""
    step = f" {row['from_status'] or ''}{to}".rstrip()
    yield from _wrapped(f"{_clock(row['at'])} {row['kind']}{step}, {row['actor']}: {row['cause']}", 2)
    if row["evidence"]:
        yield from _wrapped(_short(row["evidence"]), 6)
