"""Starting a halted scope at the API."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.authentication import actor_of
from risk.api.scopes import ScopeRequest
from risk.trading_state import start


class StartView(APIView):
    """``POST /api/exec/start``."""

    scopes = {"POST": "operate"}

    def post(self, request: Request) -> Response:
        """Lift a plain halt of a scope; 409 for a latch. Orders halted while pending stay dead."""
        asked = ScopeRequest.of(request, allow_cancel=False)
        state = start(asked.kind, asked.key, reason=asked.reason, by=actor_of(request, "POST /api/exec/start"))
        return Response(asked.document(state))
