"""The cellar in the admin: events, approvals, strategies, API keys without their hashes, queues, and people."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_network
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as StockGroupAdmin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from execution_project.common import clock
from execution_project.common.admin_filters import by_condition, by_time, by_value
from execution_project.common.admin_forms import CHECKBOXES, TEXT, WHOLE_NUMBER, form_page, lines
from execution_project.common.admin_values import (
    NONE,
    Button,
    Document,
    Facts,
    Section,
    badge,
    code,
    joined,
    link,
    moment,
    short_id,
)
from execution_project.common.api_keys import SCOPES, create_api_key, revoke_api_key
from execution_project.common.events import record
from execution_project.common.models import (
    ApiKey,
    Approval,
    Chore,
    DeadTask,
    Event,
    IdempotencyKey,
    QueueBeat,
    Strategy,
)
from execution_project.common.problems import Problem
from execution_project.common.read_only_admin import ReadOnlyAdmin, actor_of, may, show
from execution_project.common.rights import OF_GROUP, Right
from execution_project.common.strategies import register_strategy

_PAGES = {
    "order": "orders_order",
    "command": "orders_command",
    "approval": "common_approval",
    "api_key": "common_apikey",
}


def _subject(row: Event) -> str:
    page = _PAGES.get(row.subject_type)
    text = f"{row.subject_type.replace('_', ' ')} {row.subject_id}"
    return link(page, row.subject_id, text) if page else text


def _short_subject(row: Event) -> str:
    page = _PAGES.get(row.subject_type)
    identity = short_id(row.subject_id)
    head = row.subject_type.replace("_", " ")
    return joined([head, link(page, row.subject_id, identity) if page else identity])


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Everything that happened, newest first."""

    list_display = ("at", "kind", "subject", "step", "actor", "cause")
    list_filter = (by_time("id"), by_value("kind"))
    search_fields = ("id", "subject_id", "request_id")
    search_help_text = "id of an order, command, approval or key, name of an account, or request id"

    @admin.display(description="about")
    def subject(self, row: Event) -> str:
        """What it is about."""
        return _short_subject(row)

    @admin.display(description="step")
    def step(self, row: Event) -> str:
        """From which status to which."""
        return f"{row.from_status} → {row.to_status}" if row.to_status else NONE

    def sections(self, request: HttpRequest, row: Event) -> list[Section]:
        """Who did what to what, why, and on which evidence."""
        return [
            Facts(
                "Event",
                [
                    ("at", moment(row.at)),
                    ("kind", row.kind),
                    ("about", _subject(row)),
                    ("step", self.step(row)),
                    ("actor", row.actor),
                    ("cause", row.cause),
                    ("request id", code(row.request_id)),
                    ("id", code(str(row.id))),
                ],
            ),
            Document("Evidence", row.evidence),
        ]


def standing_of(row: Approval) -> str:
    """Where a request for a second person's word stands."""
    if row.used_at is not None:
        return "used"
    if row.approved is not None:
        return "granted" if row.approved else "refused"
    return "waiting" if row.expires_at > clock.now() else "lapsed"


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    """Requests for a second person's word, newest first."""

    list_display = ("requested_at", "act", "subject", "standing", "requested_by", "reason", "decided_by", "expires_at")
    list_filter = (
        by_condition(
            "decided", "decision", {"no": ("not decided", Q(approved=None)), "yes": ("decided", ~Q(approved=None))}
        ),
        by_time("id"),
    )
    search_fields = ("id",)
    search_help_text = "approval id"

    @admin.display(description="standing")
    def standing(self, row: Approval) -> str:
        """Waiting, granted, refused, used or lapsed."""
        return badge(standing_of(row))

    def badges(self, row: Approval) -> list[str]:
        """Its standing."""
        return [self.standing(row)]

    def buttons(self, request: HttpRequest, row: Approval) -> list[Button]:
        """Decide, while it waits and for whoever may."""
        if standing_of(row) != "waiting" or not may(request, Right.APPROVE):
            return []
        return [Button("Decide", reverse("admin:act_decide", args=[row.pk]), "primary")]


class StrategyForm(forms.Form):
    """A strategy's name, which is final."""

    name = forms.CharField(max_length=64, widget=TEXT(), help_text="As orders name it; final.")


@admin.register(Strategy)
class StrategyAdmin(ReadOnlyAdmin):
    """Registered strategies."""

    small = True
    ordering = ("name",)
    list_display = ("name", "created_at")
    search_fields = ("name",)
    search_help_text = "name"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may manage accounts."""
        return may(request, Right.MANAGE_ACCOUNTS)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Register a strategy."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = StrategyForm(request.POST or None)
        back = reverse("admin:common_strategy_changelist")
        if request.method == "POST" and form.is_valid():
            try:
                strategy = register_strategy(form.cleaned_data["name"], by=actor_of(request, "admin: register"))
            except ValueError as error:
                form.add_error("name", str(error))
            else:
                messages.success(request, f"{strategy.name} is registered.")
                return HttpResponseRedirect(back)
        return form_page(self, request, form, title="Register strategy", submit="Register", back=back)


class ApiKeyForm(forms.Form):
    """What an API key may do, from where and for how long."""

    name = forms.CharField(max_length=64, widget=TEXT(), help_text="As events name it; never used again.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        widget=CHECKBOXES(),
        help_text="read: see. trade: place, replace and cancel. operate: halt, start, kill, cancel, sync, change limits"
        " and propose. approve: give the second person's word for the key's owner.",
    )
    accounts = forms.CharField(
        required=False, widget=lines(2), help_text="Names, one per line. Empty: every account, also future ones."
    )
    strategies = forms.CharField(
        required=False, widget=lines(2), help_text="Names, one per line. Empty: every strategy, also future ones."
    )
    networks = forms.CharField(
        required=False,
        widget=lines(2),
        help_text="Addresses or networks (10.0.0.0/8), one per line. Empty: any address.",
    )
    requests_per_second = forms.IntegerField(initial=50, min_value=1, max_value=10_000, widget=WHOLE_NUMBER())
    owner = forms.CharField(max_length=128, required=False, widget=TEXT(), help_text="Whom to ask about this key.")
    expires_at = forms.DateTimeField(
        required=False, widget=TEXT({"placeholder": "2027-01-31 12:00"}), help_text="In UTC. Empty: never."
    )

    def _lines(self, name: str) -> list[str] | None:
        return [line.strip() for line in self.cleaned_data[name].splitlines() if line.strip()] or None

    def clean_accounts(self) -> list[str] | None:
        """One name per line, None for all."""
        return self._lines("accounts")

    def clean_strategies(self) -> list[str] | None:
        """One registered name per line, None for all."""
        names = self._lines("strategies")
        unknown = set(names or ()) - set(Strategy.objects.filter(name__in=names or ()).values_list("name", flat=True))
        if unknown:
            raise forms.ValidationError(f"There is no strategy {', '.join(sorted(unknown))}.")
        return names

    def clean_networks(self) -> list[str] | None:
        """One address or network per line, None for any."""
        networks = self._lines("networks")
        for text in networks or ():
            try:
                ip_network(text)
            except ValueError as error:
                raise forms.ValidationError(f"{error}.") from error
        return networks

    def clean_expires_at(self) -> datetime | None:
        """A time to come."""
        value: datetime | None = self.cleaned_data["expires_at"]
        if value is not None and value <= clock.now():
            raise forms.ValidationError("This is past.")
        return value


class RevokeForm(forms.Form):
    """Nothing to fill in: confirming is enough."""


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys by name; not even the hash of a secret is shown."""

    small = True
    ordering = ("name",)
    list_display = ("name", "standing", "scopes", "accounts_reached", "owner", "last_used", "expires_at", "id")
    list_select_related = ("use",)
    list_filter = (
        by_condition(
            "revoked", "standing", {"no": ("not revoked", Q(revoked_at=None)), "yes": ("revoked", ~Q(revoked_at=None))}
        ),
    )
    search_fields = ("id", "name")
    search_help_text = "id (the part after exk_) or name"
    hidden = ("secret_hash",)

    @admin.display(description="standing")
    def standing(self, row: ApiKey) -> str:
        """Active, revoked or expired."""
        if row.revoked_at is not None:
            return badge("revoked")
        if row.expires_at is not None and row.expires_at <= clock.now():
            return badge("expired", "red")
        return badge("active")

    @admin.display(description="accounts")
    def accounts_reached(self, row: ApiKey) -> str:
        """Names, or all."""
        return "all" if row.accounts is None else ", ".join(row.accounts) or "none"

    @admin.display(description="last used")
    def last_used(self, row: ApiKey) -> str:
        """When and from where."""
        use = getattr(row, "use", None)
        if use is None:
            return "never"
        return (
            f"{moment(use.last_used_at)} from {use.last_used_from}" if use.last_used_from else moment(use.last_used_at)
        )

    def badges(self, row: ApiKey) -> list[str]:
        """Its standing."""
        return [self.standing(row)]

    def sections(self, request: HttpRequest, row: ApiKey) -> list[Section]:
        """Everything but the hash, and its last use."""
        found = super().sections(request, row)
        return [*found, Facts("Use", [("last used", self.last_used(row))])]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may manage keys."""
        return may(request, Right.MANAGE_KEYS)

    def buttons(self, request: HttpRequest, row: ApiKey) -> list[Button]:
        """Revoke, while there is something to revoke and for whoever may."""
        if row.revoked_at is not None or not may(request, Right.MANAGE_KEYS):
            return []
        return [Button("Revoke", reverse("admin:common_apikey_revoke", args=[row.pk]), "danger")]

    def get_urls(self) -> list[Any]:
        """Beside the list and the pages: revoking."""
        view = self.admin_site.admin_view(self.revoke_view)
        return [path("<str:key_id>/revoke/", view, name="common_apikey_revoke"), *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make a key and show it once, on the answer itself: it goes into no message, session or log."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ApiKeyForm(request.POST or None)
        back = reverse("admin:common_apikey_changelist")
        if request.method == "POST" and form.is_valid():
            try:
                key, text = create_api_key(**form.cleaned_data, by=actor_of(request, "admin: create API key"))
            except ValueError as error:
                form.add_error("name", str(error))
            else:
                page = {
                    **self.admin_site.each_context(request),
                    "opts": self.opts,
                    "media": self.media,
                    "title": "API key",
                    "key": key,
                    "text": text,
                    "back": reverse("admin:common_apikey_change", args=[key.pk]),
                }
                return TemplateResponse(request, "exec_admin/key_created.html", page)
        return form_page(
            self,
            request,
            form,
            title="Create API key",
            submit="Create key",
            back=back,
            explanation=["The key is shown once, on the next page."],
        )

    def revoke_view(self, request: HttpRequest, key_id: str) -> HttpResponse:
        """End a key for good."""
        if not may(request, Right.MANAGE_KEYS):
            raise PermissionDenied
        page = reverse("admin:common_apikey_change", args=[key_id])
        if request.method == "POST":
            try:
                key = revoke_api_key(key_id, by=actor_of(request, "admin: revoke API key"))
            except Problem as problem:
                messages.error(request, problem.detail)
                return HttpResponseRedirect(reverse("admin:common_apikey_changelist"))
            messages.success(request, f"{key.name} is revoked: its next request is refused.")
            return HttpResponseRedirect(page)
        return form_page(
            self,
            request,
            RevokeForm(),
            title="Revoke API key",
            submit="Revoke",
            back=page,
            tone="danger",
            explanation=["From the next request on the key is refused, for good. Orders placed with it go on."],
        )


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    """Which key gave which order, newest first."""

    list_display = ("created_at", "principal", "key", "resource")
    search_fields = ("key",)
    search_help_text = "idempotency key"

    @admin.display(description="order")
    def resource(self, row: IdempotencyKey) -> str:
        """The order that the key stands for."""
        return link("orders_order", row.resource_id, row.resource_id)


show(Chore, "name", "rung_at", "finished_at", "succeeded_at", "error", ordering=("name",), small=True)
show(QueueBeat, "queue", "sent_at", "beaten_at", "worker_pid", ordering=("queue",), small=True)
# The payload is signed for execution and of no use to a reader.
show(DeadTask, "created_at", "queue", "reason", hidden=("payload",))

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class PersonAdmin(StockUserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]  # django-unfold has no types
    """Staff. An administrator makes people and puts them into the staff groups; nobody is ever deleted.

    Only a superuser makes superusers, gives permissions directly, or touches a superuser.
    """

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    actions = None
    show_full_result_count = False
    list_display = ("username", "first_name", "last_name", "in_groups", "is_staff", "is_active", "last_login")
    list_filter = ("groups", "is_active", "is_superuser")
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    add_fieldsets = (
        (None, {"fields": ("username", "usable_password", "password1", "password2", "is_staff", "groups")}),
    )
    _PERSON = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "groups")}),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    _ABOVE_GROUPS = ("Beyond groups", {"fields": ("is_superuser", "user_permissions")})

    def get_queryset(self, request: HttpRequest) -> Any:
        """With their groups."""
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="groups")
    def in_groups(self, row: User) -> str:
        """Names of the groups."""
        if row.is_superuser:
            return "superuser"
        return ", ".join(sorted(group.name for group in row.groups.all())) or NONE

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What goes beyond groups is for superusers."""
        if obj is None:
            return self.add_fieldsets
        return (*self._PERSON, self._ABOVE_GROUPS) if request.user.is_superuser else self._PERSON

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Whoever is made here is meant to come in."""
        return {**super().get_changeform_initial_data(request), "is_staff": True}

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Administrators give the staff groups; groups of other making are the superuser's."""
        if db_field.name == "groups":
            if not request.user.is_superuser:
                options["queryset"] = Group.objects.filter(name__in=OF_GROUP)
            options["widget"] = CHECKBOXES()
        return super().formfield_for_manytomany(db_field, request, **options)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A superuser is changed by superusers only."""
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: events name people. Whoever leaves is made inactive."""
        return False

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Groups that whoever saves could not see stay as they are."""
        kept: list[Group] = []
        if change and not request.user.is_superuser:
            kept = list(form.instance.groups.exclude(name__in=OF_GROUP))
        super().save_related(request, form, formsets, change)
        form.instance.groups.add(*kept)

    def _record(self, request: HttpRequest, kind: str, person: User, what: Any) -> None:
        evidence = {
            "what": what,
            "groups": sorted(person.groups.values_list("name", flat=True)),
            "is_active": person.is_active,
            "is_staff": person.is_staff,
            "is_superuser": person.is_superuser,
        }
        record(kind, "user", person.get_username()[:64], actor_of(request, "admin: people"), evidence=evidence)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Also an event."""
        self._record(request, "staff.created", obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Also an event, for a new password too; it holds the names of fields, never their values."""
        self._record(request, "staff.changed", obj, message)
        return super().log_change(request, obj, message)


@admin.register(Group)
class StaffGroupAdmin(StockGroupAdmin, ModelAdmin):  # type: ignore[misc]  # django-unfold has no types
    """The staff groups follow the code; a superuser may make others beside them."""

    actions = None
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Superusers."""
        return bool(request.user.is_active and request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Superusers, and never the staff groups themselves: the next migrate would set them back."""
        return self.has_add_permission(request) and (obj is None or obj.name not in OF_GROUP)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False
