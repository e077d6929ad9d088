"""Control 24, health gate: the books of the account stand open and are known to agree with the exchange."""

from __future__ import annotations

from typing import Any

from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs

NUMBER = 24
CONTROL = "health"


def evaluate(inputs: GateInputs) -> ControlResult:
    """Deny while the books are closed: available funds would be a guess. Deny what increases exposure while a part of
    the books was not compared with the exchange in time, or while a difference blocks the account
    (docs/risk-controls.md §4); what reduces passes."""
    account = inputs.intent.account
    if not inputs.intent.books_open:
        return _breach("BOOKS_NOT_OPEN", f"The books of {account} are not open: run open_books {account}.")
    stale, blocked_by = inputs.reconciled.stale_parts(inputs.now), inputs.reconciled.blocked_by
    seen: dict[str, Any] = {"stale": stale, "blocked_by": blocked_by}
    if (stale or blocked_by) and inputs.is_reducing:
        return ControlResult(NUMBER, CONTROL, ControlOutcome.NOT_APPLICABLE, inputs=seen)
    only = "only orders that reduce exposure pass"
    if stale:
        detail = f"{account} was not compared with the exchange in time ({', '.join(stale)}): {only}."
        return _breach("RECONCILIATION_STALE", detail, seen)
    if blocked_by:
        return _breach("BREAK_OPEN", f"{account} has an open break ({blocked_by}): {only}.", seen)
    return ControlResult(NUMBER, CONTROL, ControlOutcome.PASS, inputs=seen)


def _breach(code: str, detail: str, seen: dict[str, Any] | None = None) -> ControlResult:
    return ControlResult(NUMBER, CONTROL, ControlOutcome.BREACH, code, detail, inputs=seen or {})
