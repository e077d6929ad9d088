"""What of a decision a bound key is told: everything of its own scopes, and of wider ones that and which limit broke.

One place for decisions, the answers to orders, and breaches. The limit's value is no secret (``GET /api/exec/limits``
shows it): how much of it others use is.
"""

from __future__ import annotations

from typing import Any

from execution_project.common.api.authentication import Principal
from risk.api.reach import knows_usage
from risk.models import Decision

CODES = frozenset(
    {
        *("MAX_ASSET_EXPOSURE", "MAX_GROSS_EXPOSURE", "MAX_NET_EXPOSURE", "MAX_CONCENTRATION"),
        *("MAX_EXCHANGE_EXPOSURE", "MAX_EXCHANGE_SHARE", "MAX_CURRENCY_EXPOSURE", "MAX_WORKING_ORDERS"),
        *("ORDER_RATE", "MAX_TURNOVER", "MAX_DAILY_LOSS", "MAX_DRAWDOWN", "SELF_MATCH"),
    }
)
"""Of controls whose sentence tells how much of a limit is used."""


def results_for(decision: Decision, reader: Principal | None) -> list[dict[str, Any]]:
    """The results of all controls as this reader may see them; None sees all."""
    return [result_for(result, reader) for result in decision.results]


def result_for(result: dict[str, Any], reader: Principal | None) -> dict[str, Any]:
    """One control's result without what is observed in scopes that hold more than the reader's own.

    Outcome, code and the limits stay; ``inputs.withheld`` names the scopes.
    """
    inputs: dict[str, Any] = result["inputs"]
    if reader is None or "limit_scope" not in inputs:
        return result
    limits: dict[str, dict[str, Any]] = inputs.get("limits", {inputs["limit_scope"]: {}})
    withheld = [scope for scope in limits if not knows_usage(reader, result["control"], scope)]
    if not withheld:
        return result
    shown = {scope: {**row, "observed": None} if scope in withheld else row for scope, row in limits.items()}
    if inputs["limit_scope"] not in withheld:
        return {**result, "inputs": {**inputs, "limits": shown, "withheld": withheld}}
    named = {name: inputs[name] for name in ("limit_scope", "limit_version", "enforcement")}
    told = f"A limit of {inputs['limit_scope']} is broken; how much of it is used is not for this key to know."
    return {
        **result,
        "observed": None,
        "headroom": None,
        "detail": told if result["detail"] else "",
        "inputs": {"limits": shown, **named, "withheld": withheld},
    }


def detail_for(code: str, detail: str, reader: Principal | None) -> str:
    """The sentence that an order keeps of why it was denied; for a bound key without numbers that may be of others."""
    if reader is None or not reader.is_bound or code not in CODES:
        return detail
    return "A limit is broken: the order's decision says which."
