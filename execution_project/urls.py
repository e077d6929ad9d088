"""Where the wiring meets the outside: the API of each floor and the operators' admin."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/exec/", include("orders.api.urls")),
    path("api/exec/", include("positions.api.urls")),
    path("api/exec/", include("risk.api.urls")),
]

handler404 = "execution_project.common.api.errors.not_found"
handler500 = "execution_project.common.api.errors.server_error"
