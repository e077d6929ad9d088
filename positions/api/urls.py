"""Paths of positions under /api/exec/."""

from django.urls import path

from positions.api.equity import EquityView
from positions.api.holdings import HoldingsView
from positions.api.profits import ProfitsView
from positions.api.views import FillsView, PositionsView

urlpatterns = [
    path("positions", PositionsView.as_view()),
    path("holdings", HoldingsView.as_view()),
    path("pnl", ProfitsView.as_view()),
    path("fills", FillsView.as_view()),
    path("equity", EquityView.as_view()),
]
