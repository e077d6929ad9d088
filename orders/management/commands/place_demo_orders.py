"""``manage.py place_demo_orders``: a few orders on the simulator account, so that a first start shows life."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from exchanges.models import Instrument, Quote
from execution_project.common.money import plain, round_down
from orders.management.commands.seed import ACCOUNT, STRATEGY

ATTEMPTS = 60


class Command(BaseCommand):
    """Drives the API as a client would."""

    help = "Place demo orders through the API: a market buy, a resting limit buy, a market sell."

    def handle(self, *args: Any, **options: Any) -> None:
        """Place them and print what became of each."""
        key = (Path(settings.EXEC_DATA_DIR) / "run" / "api-key").read_text(encoding="utf-8").strip()
        base = f"http://{settings.EXEC_HOST}:{settings.EXEC_PORT}/api/exec"
        bid = self._bid()
        orders = [
            {"side": "BUY", "type": "MARKET", "quote_quantity": "500"},
            {"side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": "0.01", "price": bid},
            {"side": "SELL", "type": "MARKET", "quantity": "0.002"},
        ]
        for body in orders:
            whole = {"account": ACCOUNT, "symbol": "BTCUSDT", "strategy": STRATEGY, **body}
            order = self._post(f"{base}/order?wait=5", key, whole)
            wanted = body.get("quantity") or f"for {body['quote_quantity']} USDT"
            self.stdout.write(
                f"{order['side']} {order['type']} {wanted} BTC: {order['status']},"
                f" filled {order['filled_quantity']} at {order['average_price']}"
            )

    def _bid(self) -> str:
        """A limit price a little below the market, on the tick."""
        instrument = Instrument.objects.get(exchange="binance", mode="sandbox", symbol="BTCUSDT")
        quote = Quote.objects.get(instrument=instrument)
        tick = Decimal(instrument.filters["PRICE_FILTER"]["tickSize"])
        return plain(round_down(quote.bid * Decimal("0.99"), tick))

    def _post(self, url: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310  our own web server
            url,
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {key}",
                "Idempotency-Key": f"demo-{uuid4()}",
                "Content-Type": "application/json",
            },
        )
        for _ in range(ATTEMPTS):
            try:
                with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310  the same
                    document: dict[str, Any] = json.loads(answer.read())
                    return document
            except urllib.error.HTTPError as error:
                document = json.loads(error.read())
                if document.get("code") not in {"PRICE_UNAVAILABLE", "BALANCE_STALE", "DATABASE_UNAVAILABLE"}:
                    raise CommandError(f"{document.get('code')}: {document.get('detail')}") from error
                # A denied order is its key's final answer: a new intent needs a new key.
                request.add_header("Idempotency-key", f"demo-{uuid4()}")
            except urllib.error.URLError:
                pass
            time.sleep(0.5)
        raise CommandError("The web server does not answer.")
