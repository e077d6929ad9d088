"""Openings and transfers that were booked before postings were kept get theirs, so that they can be valued and
classified. Holdings are folded anew by ``rebuild_books --write`` afterwards."""

from __future__ import annotations

from collections import defaultdict, deque

from django.conf import settings
from django.db import migrations
from django.utils import timezone

KINDS = ["opening", "transfer"]
TABLE = "positions_ledgerentry"
PROTECTS = "exec_append_only"


def _protected(cursor):
    cursor.execute(
        "SELECT 1 FROM pg_trigger WHERE tgname = %s AND tgrelid = %s::regclass AND tgenabled <> 'D'", [PROTECTS, TABLE]
    )
    return cursor.fetchone() is not None


def post_earlier_entries(apps, schema_editor):
    """One posting per leg at the exchange, linked with both legs; a leg without its other one is left as it is.

    Its rate is noted as missing where the asset is not the reporting currency.
    """
    models = {name: apps.get_model("positions", name) for name in ("LedgerEntry", "Posting", "PendingRate")}
    entries = models["LedgerEntry"].objects
    legs = entries.filter(kind__in=KINDS, posting__isnull=True, fill__isnull=True).order_by("id")
    others = defaultdict(deque)
    for leg in legs.exclude(book="exchange"):
        others[_names(leg, -leg.amount)].append(leg)
    currency, now = settings.EXEC_REPORTING_CURRENCY, timezone.now()
    postings, pending, links = [], [], []
    for leg in legs.filter(book="exchange"):
        waiting = others[_names(leg, leg.amount)]
        if not leg.amount or not waiting:
            continue
        posting = models["Posting"](
            account_id=leg.account_id,
            kind=leg.kind,
            asset=leg.asset,
            amount=leg.amount,
            currency=currency,
            value_assumed=leg.asset != currency,
            reference=leg.reference,
            reason="booked before postings were kept",
            posted_by="engine:migration",
            effective_at=leg.effective_at,
            posted_at=leg.posted_at,
        )
        postings.append(posting)
        links.append((posting.id, [leg.id, waiting.popleft().id]))
        if leg.asset != currency:
            pending.append(
                models["PendingRate"](
                    account_id=leg.account_id, posting=posting, asset=leg.asset, at=leg.effective_at, next_at=now
                )
            )
    if not postings:
        return
    models["Posting"].objects.bulk_create(postings, batch_size=1000)
    models["PendingRate"].objects.bulk_create(pending, batch_size=1000)
    with schema_editor.connection.cursor() as cursor:
        # A table with checks still to be made cannot be altered.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        protected = _protected(cursor)
        if protected:
            cursor.execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER {PROTECTS}")
        for posting_id, both in links:
            entries.filter(id__in=both).update(posting_id=posting_id)
        if protected:
            cursor.execute(f"ALTER TABLE {TABLE} ENABLE TRIGGER {PROTECTS}")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _names(leg, amount):
    """What the two legs of one movement have in common."""
    return leg.account_id, leg.asset, leg.kind, leg.reference, leg.effective_at, leg.posted_at, amount


class Migration(migrations.Migration):

    dependencies = [
        ('positions', '0006_statement_indexes'),
    ]

    operations = [
        migrations.RunPython(post_earlier_entries, migrations.RunPython.noop),
    ]
