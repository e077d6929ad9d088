"""Paths of risk under /api/exec/."""

from django.urls import path

from risk.api.views import StartView

urlpatterns = [path("start", StartView.as_view())]
