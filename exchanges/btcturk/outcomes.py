"""What an answer of BTCTurk proves: one ordered table from status, message and call to an outcome.

By message, never by numeric code: the codes were shifted more than once. Pure: no clock, no I/O. The first row that
fits decides; without one the outcome is UNKNOWN, because what nobody has understood proves nothing. Facts:
docs/btcturk.md §5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exchanges.reports import OutcomeKind


class Call(StrEnum):
    """The kinds of calls whose answers are judged differently."""

    PLACE = "place"
    CANCEL = "cancel"
    QUERY = "query"  # asks for one order by its id
    READ = "read"  # any other read


@dataclass(frozen=True, slots=True)
class Said:
    """The words of an answer: ``code`` and ``message`` of a JSON object, or the start of a body that is none.

    ``names``: message and textual code in upper case; empty when the body was no JSON object with either.
    """

    code: str
    message: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the table says. ``wait_ms`` is how long to keep quiet when the exchange gave no Retry-After."""

    kind: OutcomeKind
    reason: str
    wait_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row fits when every condition that it has fits. ``texts`` are parts of the message, in lower case, any of them.

    ``worded``: only a JSON body with a message. ``drifted``: only when the stamp was outside the exchange's window by
    the answer's own Date.
    """

    verdict: Verdict
    statuses: range
    names: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()
    calls: frozenset[Call] = frozenset(Call)
    worded: bool = False
    drifted: bool = False

    def fits(self, call: Call, status: int, said: Said, drifted: bool) -> bool:
        """Whether the row is about this answer."""
        lowered = said.message.lower()
        return (
            status in self.statuses
            and call in self.calls
            and (not self.names or bool(self.names & said.names))
            and (not self.texts or any(text in lowered for text in self.texts))
            and (not self.worded or bool(said.names))
            and (not self.drifted or drifted)
        )


def _names(*names: str) -> frozenset[str]:
    return frozenset(names)


def _only(status: int) -> range:
    return range(status, status + 1)


def _refused(reason: str, *names: str) -> Row:
    return Row(Verdict(OutcomeKind.REFUSED, reason), _JUDGED, _names(*names))


# A refusal may come with status 200 too (docs/btcturk.md §2).
_JUDGED = range(200, 500)
_ANY = range(1000)

_PLACE = frozenset({Call.PLACE})
_CANCEL = frozenset({Call.CANCEL})
_QUERY = frozenset({Call.QUERY})
_NOT_PLACE = frozenset(Call) - _PLACE

_MINUTE_MS = 60_000

# Reasons "unknown" and the like are for people; the engine decides by kind and by the reasons named in Outcome.
TABLE: tuple[Row, ...] = (
    # Limits: the gateway answers, the engine never saw the call (docs/btcturk.md §2.1).
    Row(Verdict(OutcomeKind.THROTTLED, "rate_limit", _MINUTE_MS), _only(429)),
    Row(Verdict(OutcomeKind.THROTTLED, "rate_limit", _MINUTE_MS), _JUDGED, _names("TOO_MANY_REQUESTS")),
    # May have been executed, whatever else the answer says.
    Row(Verdict(OutcomeKind.UNKNOWN, "maintenance"), _ANY, _names("SYSTEM_UNDER_MAINTENANCE")),
    Row(Verdict(OutcomeKind.UNKNOWN, "server_error"), range(500, 600)),
    Row(
        Verdict(OutcomeKind.UNKNOWN, "server_error"),
        _ANY,
        _names("INTERNAL_ERROR", "FAILED_SET_ORDER_UNEXPECTED"),
    ),
    Row(Verdict(OutcomeKind.UNKNOWN, "backend_timeout"), _only(408)),
    # Clock and key. Orders have been seen alive behind a 401 to their placement: that one proves nothing.
    Row(Verdict(OutcomeKind.UNKNOWN, "unauthorised"), _only(401), calls=_PLACE),
    Row(Verdict(OutcomeKind.UNKNOWN, "unauthorised"), _JUDGED, texts=("unauthorized", "invalid nonce"), calls=_PLACE),
    Row(Verdict(OutcomeKind.UNKNOWN, "unauthorised"), _JUDGED, _names("INVALID_REQUEST"), calls=_PLACE),
    Row(Verdict(OutcomeKind.CLOCK, "clock"), _JUDGED, texts=("invalid nonce",)),
    Row(Verdict(OutcomeKind.CLOCK, "clock"), _only(401), drifted=True),
    Row(Verdict(OutcomeKind.AUTH, "unauthorised"), _only(401)),
    Row(Verdict(OutcomeKind.AUTH, "unauthorised"), _JUDGED, texts=("unauthorized",)),
    Row(Verdict(OutcomeKind.AUTH, "unauthorised"), _JUDGED, _names("INVALID_REQUEST")),
    # Someone on the way answered, not the API: this address or this client is kept out.
    Row(Verdict(OutcomeKind.AUTH, "firewall"), _only(403), texts=("<html",)),
    Row(Verdict(OutcomeKind.UNKNOWN, "forbidden"), _only(403)),
    # Nothing to cancel: says "not open", and nothing about why.
    Row(
        Verdict(OutcomeKind.REFUSED, "not_open"),
        _JUDGED,
        _names("NO_ORDER_MATCHES_YOUR_REQUEST", "ORDER_COULD_NOT_BE_CANCELED"),
        calls=_CANCEL,
    ),
    Row(Verdict(OutcomeKind.REFUSED, "cancel_restricted"), _JUDGED, _names("ORDER_CANCEL_BLOCKED"), calls=_CANCEL),
    # Look-ups.
    Row(Verdict(OutcomeKind.NOT_FOUND, "not_found"), _JUDGED, _names("ORDER NOT FOUND"), calls=_QUERY),
    # Judged orders.
    _refused(
        "insufficient_funds",
        "FAILED_ORDER_WITH_OPEN_ORDERS",
        "BALANCE_NOT_ENOUGH",
        "BALANCE_NOT_ENOUGH_WITHOUT_OPEN_ORDERS",
    ),
    _refused("market_closed", "FAILED_MARKET_ORDER"),
    _refused(
        "filter",
        "FAILED_MIN_TOTAL_AMOUNT",
        "PRICE_MUST_BE_LESS_THAN_MAXPRICE",
        "PRICE_MUST_BE_LESS_THAN_MINPRICE",
        "ORDER_MAX_PRICE_EXCEEDED",
        "ORDER_MIN_PRICE_EXCEEDED",
        "MAXIMUM_ORDER_AMOUNT_EXCEEDED",
    ),
    _refused(
        "precision",
        "FAILED_INVALID_PRICE_SCALE",
        "FAILED_INVALID_QUANTITY_SCALE",
        "FAILED_INVALID_STOP_PRICE_SCALE",
    ),
    _refused(
        "would_trigger",
        "FAILED_STOP_PRICE_GREATER_THAN_BEST_ASK",
        "FAILED_STOP_PRICE_LESS_THAN_BEST_BID",
        "STOP_PRICE_GREATER_THAN_MARKET",
        "STOP_PRICE_LESS_THAN_MARKET",
    ),
    _refused("unsupported", "ORDER_METHOD_NOT_SUPPORTED", "ORDER_TYPE_NOT_SUPPORTED"),
    _refused("symbol", "PAIR_NOT_FOUND_ERROR"),
    _refused("bad_request", "FAILED_LIMIT_ORDER", "FAILED_ORDER_PARAMETER"),
    # Wrong method or content type: turned away before anything was read as an order.
    Row(Verdict(OutcomeKind.REFUSED, "bad_request"), _only(405)),
    Row(Verdict(OutcomeKind.REFUSED, "bad_request"), _only(415)),
    Row(Verdict(OutcomeKind.REFUSED, "bad_request"), _only(422)),
    # Words that are not listed are a judgement about a read or a cancel; about an order they prove nothing.
    Row(Verdict(OutcomeKind.REFUSED, "refused"), range(400, 500), calls=_NOT_PLACE, worded=True),
    Row(Verdict(OutcomeKind.UNKNOWN, "wrong_path"), _only(404)),
    Row(Verdict(OutcomeKind.UNKNOWN, "redirect"), range(300, 400)),
    Row(Verdict(OutcomeKind.UNKNOWN, "unclassified"), _ANY),
)


def classify(call: Call, status: int, said: Said, *, drifted: bool = False) -> Verdict:
    """What an answer that is not a believable success proves."""
    return next(row.verdict for row in TABLE if row.fits(call, status, said, drifted))
