"""Control 24, health gate: nothing passes before the books of the account stand open."""

from __future__ import annotations

from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs

NUMBER = 24
CONTROL = "health"


def evaluate(inputs: GateInputs) -> ControlResult:
    """Deny while the account's books are closed: available funds would be a guess."""
    if not inputs.intent.books_open:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "BOOKS_NOT_OPEN",
            f"The books of {inputs.intent.account} are not open: run open_books {inputs.intent.account}.",
        )
    return ControlResult(NUMBER, CONTROL, ControlOutcome.PASS)
