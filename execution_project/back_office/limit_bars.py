"""Usage against limits on the desk: a bar and its words for every limit that something uses up.

Drawn as SVG without script or style of its own: the page's policy allows neither from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from django.conf import settings

from exchanges.models import Mode
from execution_project.back_office.bar import TONE_OF_MODE
from execution_project.common.money import plain
from risk.controls.catalogue import CATALOGUE
from risk.intent import scope_name
from risk.limits import in_force
from risk.models import Enforcement
from risk.usage import Usage, usage_of

FULLEST = 5
IN_GROUP = 8
GROUPS_SHOWN = 24
_FULL, _NEARLY, _HALF = Decimal(1), Decimal("0.8"), Decimal("0.5")
_ORDER = ("global", "exchange", "account", "strategy", "symbol", "asset")


@dataclass(frozen=True, slots=True)
class LimitBar:
    """One limit: how full it is as a picture (``width`` of 100), in colour and in words."""

    id: int
    name: str
    about: str
    scope: str
    mode: str
    mode_tone: str
    enforcement: str
    used: str
    value: str
    left: str
    percent: str
    width: str
    tone: str
    words: str
    fullness: Decimal

    @property
    def spoken(self) -> str:
        """For whoever does not see the picture."""
        return f"{self.name}, {self.scope}, {self.mode}: {self.percent} used, {self.words}"


@dataclass(frozen=True, slots=True)
class BarGroup:
    """The limits of one scope and mode, the fullest first; ``left_out``: how many more there are."""

    title: str
    mode: str
    mode_tone: str
    bars: list[LimitBar]
    left_out: int


@dataclass(frozen=True, slots=True)
class LimitBars:
    """``unknown``: limits whose usage is not known, in words; what increases exposure is denied by them."""

    fullest: list[LimitBar]
    groups: list[BarGroup]
    groups_left_out: int
    unknown: list[str]
    tone: str
    """Of the fullest, empty while there is none."""


def read_bars() -> LimitBars:
    """Of every mode that has limits; how many queries it takes does not depend on how many limits there are."""
    limited = set(in_force().values_list("mode", flat=True))
    usages = [usage for mode in Mode.values if mode in limited for usage in usage_of(mode)]
    bars = [(usage, _bar(usage, usage.used)) for usage in usages if usage.used is not None]
    fullest = sorted((bar for _, bar in bars), key=lambda bar: -bar.fullness)[:FULLEST]
    groups = _groups(bars)
    return LimitBars(
        fullest=fullest,
        groups=groups[:GROUPS_SHOWN],
        groups_left_out=max(len(groups) - GROUPS_SHOWN, 0),
        unknown=[_unknown(usage) for usage in usages if usage.why_not_known == "no_price"][:FULLEST],
        tone=fullest[0].tone if fullest else "",
    )


def _groups(bars: Sequence[tuple[Usage, LimitBar]]) -> list[BarGroup]:
    """Everything first, then exchanges, accounts, strategies, symbols and assets, each by name."""
    found: dict[tuple[int, str, str], list[LimitBar]] = {}
    for usage, bar in bars:
        row = usage.limit
        found.setdefault((_ORDER.index(row.scope_kind), row.scope_key, row.mode), []).append(bar)
    groups = []
    for _, listed in sorted(found.items()):
        listed.sort(key=lambda bar: -bar.fullness)
        first = listed[0]
        groups.append(
            BarGroup(first.scope, first.mode, first.mode_tone, listed[:IN_GROUP], max(len(listed) - IN_GROUP, 0))
        )
    return groups


def _bar(usage: Usage, used: Decimal) -> LimitBar:
    row, spec = usage.limit, CATALOGUE[usage.limit.control]
    # what counts of it now, which a ramp may cut down
    value, whole = usage.allowed or Decimal(0), row.value or Decimal(0)
    ramped = "" if value == whole else f" (ramp: in part of {_amount(whole, spec.unit)})"
    # nothing fits into a limit of zero
    share = usage.share if usage.share is not None else (_FULL if used <= 0 else used + _FULL)
    tone, words = _told(share, usage)
    return LimitBar(
        id=row.pk,
        name=f"{row.control.replace('_', ' ')}{f' ({usage.subject})' if usage.subject else ''}",
        about=spec.about,
        scope="everything" if row.scope_kind == "global" else scope_name(row.scope_kind, row.scope_key),
        mode=row.mode,
        mode_tone=TONE_OF_MODE[Mode(row.mode)],
        enforcement="" if row.enforcement == Enforcement.BLOCK else row.enforcement,
        used=_amount(used, spec.unit),
        value=f"{_amount(value, spec.unit)} {_unit(spec.unit)}{ramped}",
        left=_amount(value - used, spec.unit),
        percent="no room" if usage.share is None else f"{_rounded(share * 100, '0.1')} %",
        width=_rounded(min(max(share, Decimal(0)), _FULL) * 100, "0.1"),
        tone=tone,
        words=words,
        fullness=share,
    )


def _told(share: Decimal, usage: Usage) -> tuple[str, str]:
    """Tone and words at 50, 80 and 100 %; the share is rounded up, so full is what has no headroom."""
    left = usage.headroom
    if left is not None and left <= 0:
        return "danger", "beyond" if left < 0 else "full"
    if share >= _NEARLY:
        return "warning", "nearly full"
    return ("info", "over half") if share >= _HALF else ("good", "room")


def _unknown(usage: Usage) -> str:
    row = usage.limit
    subject = f" ({usage.subject})" if usage.subject else ""
    return f"{row.control.replace('_', ' ')}{subject} of {scope_name(row.scope_kind, row.scope_key)}, {row.mode}"


def _unit(unit: str) -> str:
    known = {
        "reporting currency": settings.EXEC_REPORTING_CURRENCY,
        "fraction": "%",
        "fraction of equity": "% of equity",
    }
    return known.get(unit, unit)


def _amount(value: Decimal, unit: str) -> str:
    if unit == "reporting currency":
        return format(value.quantize(Decimal("0.01"), ROUND_HALF_UP), ",f")
    return _rounded(value * 100, "0.01") if unit.startswith("fraction") else plain(value)


def _rounded(value: Decimal, to: str) -> str:
    return plain(value.quantize(Decimal(to), ROUND_HALF_UP))
