"""Starting a halted scope at the API."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.approvals import approval_document
from execution_project.common.api.authentication import actor_of
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from risk.api import schema
from risk.api.scopes import ScopeRequest
from risk.trading_state import propose_start, start


class StartView(APIView):
    """``POST /api/exec/start``."""

    rights = {"POST": Right.START}

    @schema.START
    def post(self, request: Request) -> Response:
        """200: the plain halt of a scope is lifted; orders halted while pending stay dead.

        202 for a latch: nothing is lifted yet, a second person has to approve the proposal that is answered.
        """
        asked = ScopeRequest.of(request, allow_cancel=False)
        by = actor_of(request, "POST /api/exec/start")
        try:
            return Response(asked.document(start(asked.kind, asked.key, reason=asked.reason, by=by)))
        except Problem as problem:
            if problem.code != "LATCHED":
                raise
        approval = propose_start(asked.kind, asked.key, reason=asked.reason, by=by)
        return Response({"approval": approval_document(approval)}, status=202)
