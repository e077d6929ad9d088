"""Paths of risk under /api/exec/."""

from django.urls import path

from risk.api.accounts import AccountsView, BalancesView
from risk.api.alerts import AcknowledgeAlertView, AlertsView
from risk.api.breaches import BreachesView
from risk.api.limits import DecisionsView, LimitsView, RiskView
from risk.api.views import StartView

urlpatterns = [
    path("accounts", AccountsView.as_view()),
    path("alerts", AlertsView.as_view()),
    path("alerts/<uuid:alert_id>/ack", AcknowledgeAlertView.as_view()),
    path("balances", BalancesView.as_view()),
    path("breaches", BreachesView.as_view()),
    path("decisions", DecisionsView.as_view()),
    path("limits", LimitsView.as_view()),
    path("risk", RiskView.as_view()),
    path("start", StartView.as_view()),
]
