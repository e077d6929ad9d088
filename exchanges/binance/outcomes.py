"""What an answer of Binance proves: one ordered table from status, code, text and call to an outcome.

Pure: no clock, no I/O. The first row that fits decides; without one the outcome is UNKNOWN, because what nobody has
understood proves nothing. Facts: docs/binance.md §5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exchanges.reports import OutcomeKind


class Call(StrEnum):
    """The kinds of calls whose answers are judged differently."""

    PLACE = "place"
    CANCEL = "cancel"
    AMEND = "amend"
    REPLACE = "replace"  # as a whole; its two halves are judged as CANCEL and PLACE
    QUERY = "query"  # looks for one order
    READ = "read"  # any other read


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the table says. ``wait_ms`` is how long to keep quiet when the exchange gave no Retry-After."""

    kind: OutcomeKind
    reason: str
    wait_ms: int | None = None
    banned: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row fits when every condition that it has fits. ``texts`` are parts of the message, in lower case, any of them.

    ``codes`` of None accepts any code and none. A code of None in the question means: no JSON object with a code.
    """

    verdict: Verdict
    statuses: range
    codes: range | frozenset[int] | None = None
    texts: tuple[str, ...] = ()
    calls: frozenset[Call] = frozenset(Call)

    def fits(self, call: Call, status: int, code: int | None, message: str) -> bool:
        """Whether the row is about this answer; ``message`` in lower case."""
        return (
            status in self.statuses
            and call in self.calls
            and (self.codes is None or (code is not None and code in self.codes))
            and (not self.texts or any(text in message for text in self.texts))
        )


def _codes(*codes: int) -> frozenset[int]:
    return frozenset(codes)


def _only(status: int) -> range:
    return range(status, status + 1)


_REFUSAL = range(400, 500)
_SERVER = range(500, 600)
_FAILED = range(400, 600)
_ANY = range(1000)

_PLACE = frozenset({Call.PLACE})
_CANCEL = frozenset({Call.CANCEL})
_QUERY = frozenset({Call.QUERY})
_REPLACE = frozenset({Call.REPLACE})
_ENDING = frozenset({Call.CANCEL, Call.AMEND})  # calls about an order that must be open

_MINUTE_MS = 60_000

# Reasons "unknown" and the like are for people; the engine decides by kind and by the reasons named in Outcome.
TABLE: tuple[Row, ...] = (
    # Limits (docs/binance.md §6). 418 first: a ban outranks whatever the body says.
    Row(Verdict(OutcomeKind.THROTTLED, "banned", 2 * _MINUTE_MS, banned=True), _only(418)),
    Row(Verdict(OutcomeKind.THROTTLED, "order_limit", 10_000), _only(429), _codes(-1015)),
    Row(Verdict(OutcomeKind.THROTTLED, "weight_limit", _MINUTE_MS), _only(429)),
    # May have been executed, whatever else the answer says.
    Row(Verdict(OutcomeKind.UNKNOWN, "backend_timeout"), _FAILED, _codes(-1007)),
    Row(Verdict(OutcomeKind.UNKNOWN, "server_busy"), _FAILED, _codes(-1008)),
    Row(Verdict(OutcomeKind.UNKNOWN, "server_error"), _FAILED, _codes(-1000, -1001, -1006, -1016)),
    Row(Verdict(OutcomeKind.UNKNOWN, "server_error"), _SERVER),
    Row(Verdict(OutcomeKind.UNKNOWN, "backend_timeout"), _only(408)),
    # Limits that came with another status.
    Row(Verdict(OutcomeKind.THROTTLED, "weight_limit", _MINUTE_MS), _REFUSAL, _codes(-1003)),
    Row(Verdict(OutcomeKind.THROTTLED, "order_limit", 10_000), _REFUSAL, _codes(-1015)),
    Row(Verdict(OutcomeKind.THROTTLED, "connection_limit", 5 * _MINUTE_MS), _REFUSAL, _codes(-1034)),
    # Clock and key.
    Row(Verdict(OutcomeKind.CLOCK, "clock"), _REFUSAL, _codes(-1021)),
    Row(Verdict(OutcomeKind.AUTH, "signature"), _REFUSAL, _codes(-1022)),
    Row(Verdict(OutcomeKind.AUTH, "key_format"), _REFUSAL, _codes(-2014)),
    Row(Verdict(OutcomeKind.AUTH, "key_refused"), _REFUSAL, _codes(-2015)),
    Row(Verdict(OutcomeKind.AUTH, "unauthorised"), _REFUSAL, _codes(-1002)),
    Row(Verdict(OutcomeKind.AUTH, "unauthorised"), _only(401)),
    Row(Verdict(OutcomeKind.AUTH, "restricted_location"), _only(451)),
    Row(
        Verdict(OutcomeKind.AUTH, "account_disabled"),
        _REFUSAL,
        _codes(-2010, -2011),
        ("this action is disabled on this account", "this account may not place or cancel orders"),
    ),
    # Someone on the way answered, not the API.
    Row(Verdict(OutcomeKind.REFUSED, "firewall"), _only(403), texts=("<html",)),
    Row(Verdict(OutcomeKind.UNKNOWN, "forbidden"), _only(403)),
    Row(Verdict(OutcomeKind.UNKNOWN, "split_result"), _only(409)),
    # What the engine says about a replace comes in two halves; without them only the checks before it are a judgement.
    Row(Verdict(OutcomeKind.REFUSED, "filter"), _REFUSAL, _codes(-2010), ("filter failure",), _REPLACE),
    Row(
        Verdict(OutcomeKind.UNKNOWN, "split_result"),
        _REFUSAL,
        _codes(-2010, -2011, -2013, -2021, -2022),
        calls=_REPLACE,
    ),
    # Our order is there already: to be looked up and adopted, never a rejection (docs/binance.md §3.2).
    Row(Verdict(OutcomeKind.UNKNOWN, "duplicate"), _REFUSAL, texts=("duplicate order sent",), calls=_PLACE),
    # Nothing to cancel: says "not open", and nothing about why.
    Row(Verdict(OutcomeKind.REFUSED, "not_open"), _REFUSAL, _codes(-2011, -2038), ("unknown order sent",), _ENDING),
    Row(Verdict(OutcomeKind.REFUSED, "not_open"), _REFUSAL, _codes(-2013), calls=_ENDING),
    Row(Verdict(OutcomeKind.REFUSED, "cancel_restricted"), _REFUSAL, _codes(-2011), ("cancel restrictions",), _CANCEL),
    # Look-ups.
    Row(Verdict(OutcomeKind.NOT_FOUND, "not_found"), _only(400), _codes(-2013), calls=_QUERY),
    Row(Verdict(OutcomeKind.REFUSED, "archived"), _REFUSAL, _codes(-2026)),
    Row(Verdict(OutcomeKind.REFUSED, "id_mismatch"), _REFUSAL, _codes(-2039)),
    # Causes that share -2010, -2011 and -1013 differ by text alone.
    Row(Verdict(OutcomeKind.REFUSED, "insufficient_funds"), _REFUSAL, _codes(-2010, -1013), ("insufficient balance",)),
    Row(Verdict(OutcomeKind.REFUSED, "filter"), _REFUSAL, _codes(-2010, -2038, -1013), ("filter failure",)),
    Row(
        Verdict(OutcomeKind.REFUSED, "would_match"),
        _REFUSAL,
        _codes(-2010, -1013),
        ("would immediately match and take",),
    ),
    Row(Verdict(OutcomeKind.REFUSED, "would_trigger"), _REFUSAL, _codes(-2010, -1013), ("would trigger immediately",)),
    Row(
        Verdict(OutcomeKind.REFUSED, "market_closed"),
        _REFUSAL,
        _codes(-2010, -2011, -2038, -1013),
        ("market is closed", "in this trading phase", "for this phase"),
    ),
    Row(
        Verdict(OutcomeKind.REFUSED, "trading_disabled"),
        _REFUSAL,
        _codes(-2010, -2011, -1013),
        ("rest api trading is not enabled",),
    ),
    Row(
        Verdict(OutcomeKind.REFUSED, "symbol_not_permitted"),
        _REFUSAL,
        _codes(-2010, -2011, -1013),
        ("not permitted for this account", "restricted for this account"),
    ),
    Row(
        Verdict(OutcomeKind.REFUSED, "thin_book"),
        _REFUSAL,
        _codes(-2010, -1013),
        ("order book liquidity is",),
    ),
    Row(
        Verdict(OutcomeKind.REFUSED, "unsupported"),
        _REFUSAL,
        _codes(-2010, -2011, -2038, -1013),
        (
            "not supported for this symbol",
            "not support for this symbol",
            "(quantity increase) is not supported",
            "unsupported order combination",
            "does not allow the specified self-trade prevention mode",
        ),
    ),
    Row(
        Verdict(OutcomeKind.REFUSED, "no_change"),
        _REFUSAL,
        _codes(-2010, -2011, -2038, -1013),
        ("would change no state",),
    ),
    Row(Verdict(OutcomeKind.REFUSED, "thin_book"), _REFUSAL, _codes(-1112)),
    Row(Verdict(OutcomeKind.REFUSED, "symbol"), _REFUSAL, _codes(-1121, -1220)),
    Row(Verdict(OutcomeKind.REFUSED, "precision"), _REFUSAL, _codes(-1111)),
    Row(Verdict(OutcomeKind.REFUSED, "bad_request"), _REFUSAL, range(-1225, -1099)),
    Row(Verdict(OutcomeKind.REFUSED, "bad_request"), _REFUSAL, _codes(-1013, -1014, -1020)),
    # A code that is not listed yet, with a status that says the request was at fault, is still a judgement.
    Row(Verdict(OutcomeKind.REFUSED, "refused"), _REFUSAL, range(-1_000_000, 0)),
    # Not the API's answer at all: a wrong or retired path, a redirect.
    Row(Verdict(OutcomeKind.UNKNOWN, "wrong_path"), _only(404)),
    Row(Verdict(OutcomeKind.UNKNOWN, "wrong_path"), _only(410)),
    Row(Verdict(OutcomeKind.UNKNOWN, "redirect"), range(300, 400)),
    Row(Verdict(OutcomeKind.UNKNOWN, "unclassified"), _ANY),
)


def classify(call: Call, status: int, code: int | None, message: str) -> Verdict:
    """What an answer that is not a believable success proves.

    ``code`` is the JSON ``code`` or None; ``message`` its ``msg``, or the start of a body that is no such JSON.
    """
    lowered = message.lower()
    # The code 0 of proxies and geo-blocks is no code of the API.
    code = code or None
    return next(row.verdict for row in TABLE if row.fits(call, status, code, lowered))
