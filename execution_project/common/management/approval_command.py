"""What the commands about proposals share."""

from __future__ import annotations

import argparse
from uuid import UUID

from execution_project.common.approvals import consequences
from execution_project.common.models import Approval


def approval_id(text: str) -> UUID:
    """A proposal's id; raises ``ArgumentTypeError``."""
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no proposal's id: `approvals` lists them.") from None


def proposal_text(approval: Approval) -> str:
    """A proposal for a terminal: what, by whom, why, until when, and what approving it does."""
    standing = "granted, not carried out" if approval.approved else "waits"
    lines = [
        f"{approval.id} {approval.act.replace('_', ' ')} {approval.subject}: {standing}",
        f"  asked by {approval.requested_by}, lapses {approval.expires_at:%FT%TZ}: {approval.reason}",
        *(f"  {sentence}" for sentence in consequences(approval)),
    ]
    return "\n".join(lines)
