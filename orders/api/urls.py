"""Paths of orders under /api/exec/."""

from django.urls import path

from orders.api.breaks import AcknowledgeBreakView, BreaksView, ResolveBreakView
from orders.api.kills import FlattenView, KillCauseView, KillEpisodeView, KillsView
from orders.api.overriding import OverrideOrderView
from orders.api.resolving import ResolveOrderView
from orders.api.state import StateView
from orders.api.views import KillView, OrdersView, OrderView, PlaceOrderView, StopView

urlpatterns = [
    path("order", PlaceOrderView.as_view()),
    path("order/<uuid:order_id>", OrderView.as_view()),
    path("order/<uuid:order_id>/resolve", ResolveOrderView.as_view()),
    path("order/<uuid:order_id>/override", OverrideOrderView.as_view()),
    path("orders", OrdersView.as_view()),
    path("breaks", BreaksView.as_view()),
    path("breaks/<uuid:break_id>/acknowledge", AcknowledgeBreakView.as_view()),
    path("breaks/<uuid:break_id>/resolve", ResolveBreakView.as_view()),
    path("kill", KillView.as_view()),
    path("kills", KillsView.as_view()),
    path("kills/<uuid:kill_id>", KillEpisodeView.as_view()),
    path("kills/<uuid:kill_id>/cause", KillCauseView.as_view()),
    path("kills/<uuid:kill_id>/flatten", FlattenView.as_view()),
    path("state", StateView.as_view()),
    path("stop", StopView.as_view()),
]
