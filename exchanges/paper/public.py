"""Public data without a key: the market of the exchange itself for an installation that has paper accounts alone.

Only where ``EXEC_PAPER_MARKET`` says so, and only for exchanges of which no account of that mode feeds the market
already. What stands for an account here is never stored, has no credentials, and is asked for pairs and quotes and
listened to for books; its name is none that an account can have.
"""

from __future__ import annotations

from django.conf import settings

from exchanges.default_urls import DEFAULT_URLS
from exchanges.models import Account, Mode

PREFIX = "public:"
KEYLESS_MODES = frozenset({Mode.LIVE.value})


def public_market(exchange: str) -> Account | None:
    """What to ask for the public data that paper accounts of an exchange trade on; None when nothing has to be."""
    mode = settings.EXEC_PAPER_MARKET
    urls = DEFAULT_URLS.get((exchange, mode))
    of_exchange = Account.objects.filter(exchange=exchange)
    if mode not in KEYLESS_MODES or urls is None or not of_exchange.filter(mode=Mode.PAPER).exists():
        return None
    if of_exchange.filter(mode=mode).exists():
        return None
    return Account(name=f"{PREFIX}{exchange}", exchange=exchange, mode=mode, rest_url=urls.rest, ws_url=urls.ws)


def public_markets() -> list[Account]:
    """Those of every exchange."""
    found = (public_market(exchange) for exchange in sorted({exchange for exchange, _ in DEFAULT_URLS}))
    return [account for account in found if account is not None]
