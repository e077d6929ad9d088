"""The drawn lifecycle is the one that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from orders.lifecycle import OrderStatus, diagram


def test_the_committed_diagram_is_current() -> None:
    call_command("draw_lifecycle", "--check")


def test_a_stale_or_missing_diagram_is_noticed_and_drawn_again(tmp_path: Path) -> None:
    path = tmp_path / "lifecycle.md"
    for spoil in (path.touch, lambda: path.write_text(path.read_text().replace("open", "closed")), path.unlink):
        if path.exists() or spoil == path.touch:
            spoil()
        with pytest.raises(CommandError, match="not current") as caught:
            call_command("draw_lifecycle", "--check", path=path)
        assert caught.value.returncode == 1
        call_command("draw_lifecycle", path=path)
        call_command("draw_lifecycle", "--check", path=path)


def test_every_status_is_drawn() -> None:
    drawn = diagram()
    assert all(f" {status.value}" in drawn for status in OrderStatus)
    assert "    pending --> submitting\n" in drawn
    assert "    rejected --> submit_unknown : repair\n" in drawn
