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

from exchanges.models import Instrument, Quote
from execution_project.common.management_command import EngineCommand, Refused
from execution_project.common.money import plain, round_down
from orders.management.commands.seed import ACCOUNT, STRATEGY

ATTEMPTS = 60


class Command(EngineCommand):
    """Drives the API as a client would; ``--dry-run`` has each order validated and places none."""

    writes = True
    help = "Place demo orders through the API: a market buy, a resting limit buy, a market sell."

    def handle(self, *args: Any, **options: Any) -> None:
        """Place them and print what became of each."""
        self._key = (Path(settings.EXEC_DATA_DIR) / "run" / "api-key").read_text(encoding="utf-8").strip()
        self._base = f"http://{settings.EXEC_HOST}:{settings.EXEC_PORT}/api/exec"
        buy = {"side": "BUY", "type": "MARKET", "quote_quantity": "500"}
        self._wait_until_accepted(buy)
        rest = {"side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": "0.01", "price": self._bid()}
        for body in (buy, rest, {"side": "SELL", "type": "MARKET", "quantity": "0.002"}):
            if self.dry_run:
                self._rehearse(body)
                continue
            try:
                status, order = self._post("order?wait=5", body)
            except OSError as error:
                raise Refused(
                    "NOT_ANSWERED", f"The engine did not answer: {error}. Place demo orders later."
                ) from error
            if status not in {200, 202}:
                raise Refused(str(order.get("code")), f"{order.get('code')}: {order.get('detail')}")
            wanted = body.get("quantity") or f"for {body['quote_quantity']} USDT"
            at = f" at {order['average_price']}" if order["average_price"] else ""
            filled = f"{order['status']}, filled {order['filled_quantity']}{at}"
            self.answer(order, f"{order['side']} {order['type']} {wanted} BTC: {filled}")

    def _rehearse(self, body: dict[str, Any]) -> None:
        """Ask the gate about one order without placing it."""
        _, decision = self._post("order", {**body, "validate_only": True})
        said = "would be accepted" if decision.get("accepted") else "would be denied"
        self.answer(decision, f"{body['side']} {body['type']}: {said}")

    def _wait_until_accepted(self, body: dict[str, Any]) -> None:
        """Until web, ticker and workers are up and prices are fresh; asks without placing anything."""
        answer: dict[str, Any] = {}
        for _ in range(ATTEMPTS):
            try:
                status, answer = self._post("order", {**body, "validate_only": True})
            except OSError as error:
                answer = {"detail": str(error)}
            else:
                if status == 200:
                    return
            time.sleep(0.5)
        raise Refused("NOT_READY", f"The engine accepts no orders: {answer}")

    def _bid(self) -> str:
        """A limit price a little below the market, on the tick."""
        instrument = Instrument.objects.get(exchange="binance", mode="sandbox", symbol="BTCUSDT")
        quote = Quote.objects.get(instrument=instrument)
        tick = Decimal(instrument.filters["PRICE_FILTER"]["tickSize"])
        return plain(round_down(quote.bid * Decimal("0.99"), tick))

    def _post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """HTTP status and document of one call."""
        whole = {"account": ACCOUNT, "symbol": "BTCUSDT", "strategy": STRATEGY, **body}
        request = urllib.request.Request(  # noqa: S310  our own web server
            f"{self._base}/{path}",
            data=json.dumps(whole).encode(),
            headers={
                "Authorization": f"Bearer {self._key}",
                "Idempotency-Key": f"demo-{uuid4()}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310  the same
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
