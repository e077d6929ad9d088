"""The admin site: unfold's, with our acts beside the model pages and the bar on every page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from unfold.sites import UnfoldAdminSite

from execution_project.common.api.authentication import client_address
from execution_project.common.login_throttle import count_attempt, login_succeeded
from execution_project.common.problems import Problem


class BackOfficeSite(UnfoldAdminSite):  # type: ignore[misc]  # django-unfold has no types
    """Every view of it goes through ``admin_view``: staff only, never cached, CSRF enforced."""

    site_header = site_title = "Execution engine"
    index_title = "Overview"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """The acts and the live fragments first, then the model pages."""
        # models can only be imported once the apps are ready, and the site is made before
        from execution_project.back_office import acts, alert_acts, kill_acts, limit_acts, live

        def act(view: Callable[..., HttpResponseBase]) -> Any:
            return self.admin_view(view)

        return [
            path("acts/halt", act(acts.HaltAct.as_view()), name="act_halt"),
            path("acts/start", act(acts.StartAct.as_view()), name="act_start"),
            path("acts/kill", act(acts.KillAct.as_view()), name="act_kill"),
            path("acts/kill/<uuid:kill_id>/cause", act(kill_acts.KillCauseAct.as_view()), name="act_kill_cause"),
            path("acts/kill/<uuid:kill_id>/flatten", act(kill_acts.FlattenAct.as_view()), name="act_flatten"),
            path("acts/cancel", act(acts.CancelScopeAct.as_view()), name="act_cancel_scope"),
            path("acts/cancel/<uuid:order_id>", act(acts.CancelOrderAct.as_view()), name="act_cancel_order"),
            path("acts/resolve/<uuid:order_id>", act(acts.ResolveOrderAct.as_view()), name="act_resolve_order"),
            path("acts/break/<uuid:break_id>/take", act(acts.AcknowledgeAct.as_view()), name="act_acknowledge_break"),
            path("acts/break/<uuid:break_id>/end", act(acts.ResolveBreakAct.as_view()), name="act_resolve_break"),
            path(
                "acts/alert/<uuid:alert_id>",
                act(alert_acts.AcknowledgeAlertAct.as_view()),
                name="act_acknowledge_alert",
            ),
            path("acts/circuit/<int:circuit_id>", act(acts.CloseCircuitAct.as_view()), name="act_close_circuit"),
            path("acts/limit", act(limit_acts.LimitAct.as_view()), name="act_limit"),
            path("acts/sync/<int:account_id>", act(acts.SyncAct.as_view()), name="act_sync"),
            path("acts/decide/<uuid:approval_id>", act(acts.DecideAct.as_view()), name="act_decide"),
            path("live/bar", act(live.bar_fragment), name="live_bar"),
            path("live/desk", act(live.desk_fragment), name="live_desk"),
            path("live/chores/<int:account_id>", act(live.chores_fragment), name="live_chores"),
            *super().get_urls(),
        ]

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The login; 429 and a page in words, before any password is looked at, where too many have failed."""
        from execution_project.back_office.pages import problem_page

        if request.method != "POST":
            return super().login(request, extra_context)
        username, address = request.POST.get("username", ""), client_address(request)
        try:
            count_attempt(username, address)
        except Problem as problem:
            answer = problem_page(request, problem)
            for name, value in problem.headers.items():
                answer[name] = value
            return answer
        answer = super().login(request, extra_context)
        if answer.status_code == 302:
            login_succeeded(username, address)
        return answer

    def extra_context(self, context: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
        """unfold's hook of ``each_context``: the bar, read only by pages that show it."""
        from execution_project.back_office.live import lazy_bar

        return {**context, "bar": lazy_bar(request)}

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The desk."""
        from execution_project.back_office.live import desk_context

        return super().index(request, {**desk_context(request), **(extra_context or {})})
