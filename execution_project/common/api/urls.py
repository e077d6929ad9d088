"""Paths of the cellar under /api/exec/."""

from django.urls import path

from execution_project.common.api.approvals import ApprovalsView, ApprovalView, ApproveView, RejectView

urlpatterns = [
    path("approvals", ApprovalsView.as_view()),
    path("approvals/<uuid:approval_id>", ApprovalView.as_view()),
    path("approvals/<uuid:approval_id>/approve", ApproveView.as_view()),
    path("approvals/<uuid:approval_id>/reject", RejectView.as_view()),
]
