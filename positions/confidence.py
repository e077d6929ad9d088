"""Who knows something against a position says so here: what is reported and not booked, and open breaks."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q

from exchanges.models import Account
from positions.models import Position


def set_unbooked(account: Account, instrument_ids: Collection[int], unbooked: Collection[int]) -> None:
    """Of these instruments, those in ``unbooked`` have quantity that is reported by the exchange and not booked yet."""
    rows = Position.objects.filter(account=account, instrument_id__in=set(instrument_ids))
    rows.filter(instrument_id__in=set(unbooked), unbooked=False).update(unbooked=True)
    rows.filter(unbooked=True).exclude(instrument_id__in=set(unbooked)).update(unbooked=False)


def set_disputed(account: Account, *, symbols: Collection[str] = (), assets: Collection[str] = ()) -> None:
    """The account's positions in these symbols, or that touch these assets, have an open break; no others have."""
    disputed = Q(instrument__symbol__in=set(symbols)) | Q(instrument__base_asset__in=set(assets))
    disputed |= Q(instrument__quote_asset__in=set(assets))
    mine = Position.objects.filter(account=account)
    now = set(mine.filter(disputed).values_list("pk", flat=True))
    mine.filter(pk__in=now, disputed=False).update(disputed=True)
    mine.filter(disputed=True).exclude(pk__in=now).update(disputed=False)
