"""Bearer keys and their scopes at the API."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.metadata import BaseMetadata
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from execution_project.common.actors import Actor
from execution_project.common.api_keys import InvalidApiKey, Throttled, authenticate
from execution_project.common.models import ApiKey
from execution_project.common.problems import Problem
from execution_project.common.rights import OF_SCOPE, Right, scopes_with

if TYPE_CHECKING:
    from rest_framework.views import APIView

Row = TypeVar("Row", bound=Model)


class Principal:
    """The client behind a request."""

    is_authenticated = True

    def __init__(self, key: ApiKey) -> None:
        self.key = key

    @property
    def name(self) -> str:
        """``key:<name>``, as events and idempotency keys name it."""
        return f"key:{self.key.name}"

    @property
    def rights(self) -> frozenset[Right]:
        """What the key's scopes allow."""
        return frozenset().union(*(OF_SCOPE[scope] for scope in self.key.scopes))

    @property
    def is_bound(self) -> bool:
        """Whether it reaches a part only: some accounts, or some strategies."""
        return self.key.accounts is not None or self.key.strategies is not None

    def may_see(self, account: str) -> bool:
        """Whether the key reaches this account."""
        return self.key.accounts is None or account in self.key.accounts

    def narrow(
        self, queryset: QuerySet[Row], *, account: str | None = "account__name", strategy: str | None = "strategy__name"
    ) -> QuerySet[Row]:
        """The rows that the key reaches; ``account``, ``strategy``: lookups of the names, None where there is none.

        A key bound to strategies does not reach rows without one.
        """
        return queryset.filter(self.reached(account=account, strategy=strategy))

    def reached(self, *, account: str | None, strategy: str | None) -> Q:
        """The same as a condition."""
        reached = Q()
        if account is not None and self.key.accounts is not None:
            reached &= Q(**{f"{account}__in": self.key.accounts})
        if strategy is not None and self.key.strategies is not None:
            reached &= Q(**{f"{strategy}__in": self.key.strategies})
        return reached


def client_address(request: HttpRequest) -> str | None:
    """The address that the request came from, or None when that is not known.

    Behind ``EXEC_TRUSTED_PROXIES`` proxies it is what the outermost of them saw: as many entries from the right of
    X-Forwarded-For. What stands further left is only the client's word.
    """
    text = request.META.get("REMOTE_ADDR", "")
    if settings.EXEC_TRUSTED_PROXIES:
        passed = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        text = passed[-settings.EXEC_TRUSTED_PROXIES] if len(passed) >= settings.EXEC_TRUSTED_PROXIES else ""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer exk_…``.

    Views declare in ``never_throttled`` the methods that a client must be able to call however much it has asked for.
    """

    def authenticate(self, request: Request) -> tuple[Principal, ApiKey] | None:
        """The principal, None without a header, ``AuthenticationFailed`` for anything but a valid key."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send the key as 'Authorization: Bearer exk_…'.")
        view = (request.parser_context or {}).get("view")
        throttled = request.method not in getattr(view, "never_throttled", ())
        try:
            key = authenticate(text.strip(), address=client_address(request._request), throttled=throttled)
        except InvalidApiKey:
            raise AuthenticationFailed("The API key is not valid.") from None
        except Throttled:
            raise Problem(
                429,
                "THROTTLED",
                "This key is used too often. Cancels, stop and kill still pass; send the rest again after Retry-After.",
                headers={"Retry-After": "1"},
            ) from None
        return Principal(key), key

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing key a 401 and not a 403."""
        return "Bearer"


class Methods(BaseMetadata):
    """The answer to OPTIONS: what a path can do, and which scopes of a key give the right to it."""

    def determine_metadata(self, request: Request, view: APIView) -> dict[str, Any]:
        """``{"methods": {"GET": {"scopes": ["read"]}, …}}``."""
        rights: dict[str, Right] = getattr(view, "rights", {})
        return {"methods": {method: {"scopes": scopes_with(right)} for method, right in rights.items()}}


class HasRight(BasePermission):
    """Views declare ``rights = {"GET": Right.VIEW, …}``; what is not declared is denied, and no handler is a 405.

    HEAD takes what GET takes, and OPTIONS any key.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the key's scopes give the right that the view declares for this method."""
        principal = request.user
        if not isinstance(principal, Principal):
            return False
        if not hasattr(view, str(request.method).lower()) or request.method == "OPTIONS":
            return True
        method = "GET" if request.method == "HEAD" else request.method
        needed: Right | None = getattr(view, "rights", {}).get(method)
        if needed is None or needed not in principal.rights:
            scopes = " or ".join(f"'{scope}'" for scope in scopes_with(needed)) if needed else "none"
            raise Problem(403, "MISSING_SCOPE", f"This needs a key with scope {scopes}.")
        return True


def principal_of(request: Request) -> Principal:
    """The request's principal; views run only with one."""
    principal: Any = request.user
    if not isinstance(principal, Principal):
        raise Problem(401, "NOT_AUTHENTICATED", "Send an API key.")
    return principal


def actor_of(request: Request, cause: str) -> Actor:
    """The actor that a request's writes are recorded under."""
    principal = principal_of(request)
    return Actor(principal.name, cause, getattr(request._request, "request_id", ""), principal.rights)
