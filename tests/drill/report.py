"""What a scene reports, and the table of all of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

COLUMNS = (("scene", 14), ("what was done", 38), ("what happened", 52), ("times", 30), ("", 6))


@dataclass(slots=True)
class Report:
    """One scene as it went: what was done and what happened, in words, times by name, and what went wrong."""

    name: str
    done: str = ""
    happened: list[str] = field(default_factory=list)
    times: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether everything happened that has to."""
        return not self.wrong

    def saw(self, holds: bool, what: str) -> None:
        """Note what happened; ``holds``: whether it is as it has to be."""
        (self.happened if holds else self.wrong).append(what)

    def took(self, what: str, seconds: float) -> None:
        """Note a time, in seconds."""
        self.times[what] = f"{seconds:.1f} s"

    def took_ms(self, what: str, milliseconds: float | str) -> None:
        """Note a time, in milliseconds."""
        self.times[what] = f"{milliseconds if isinstance(milliseconds, str) else f'{milliseconds:.0f}'} ms"


def table(reports: Sequence[Report]) -> str:
    """All scenes side by side, wrapped to columns."""
    lines = [_line([name for name, _ in COLUMNS]), "-" * (sum(width for _, width in COLUMNS) + 2 * len(COLUMNS) - 2)]
    for report in reports:
        happened = [*report.happened, *(f"NOT AS IT HAS TO BE: {each}" for each in report.wrong)]
        cells = [
            report.name,
            report.done,
            "\n".join(happened),
            "\n".join(f"{what}: {figure}" for what, figure in report.times.items()),
            "OK" if report.passed else "FAILED",
        ]
        wrapped = [
            [part for line in cell.splitlines() for part in textwrap.wrap(line, width, subsequent_indent=" ") or [""]]
            for cell, (_, width) in zip(cells, COLUMNS, strict=True)
        ]
        lines += [_line(row) for row in zip_longest(*wrapped, fillvalue="")]
        lines.append("")
    return "\n".join(lines).rstrip()


def _line(cells: Sequence[str]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True)).rstrip()
