"""Where the wiring meets the outside: the API of each floor and the operators' admin."""

from django.contrib import admin
from django.urls import include, path

from execution_project.api_description import DocsView, SchemaView
from execution_project.health import healthz, readyz
from execution_project.metrics import metrics

admin.autodiscover()

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("api/exec/schema", SchemaView.as_view(), name="schema"),
    path("api/exec/docs", DocsView.as_view(), name="docs"),
    path("api/exec/", include("execution_project.common.api.urls")),
    path("api/exec/", include("exchanges.api.urls")),
    path("api/exec/", include("orders.api.urls")),
    path("api/exec/", include("positions.api.urls")),
    path("api/exec/", include("risk.api.urls")),
]

handler403 = "execution_project.back_office.pages.forbidden"
handler404 = "execution_project.back_office.pages.not_found"
handler500 = "execution_project.common.api.errors.server_error"
