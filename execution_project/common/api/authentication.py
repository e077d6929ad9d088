"""Bearer keys and their scopes at the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from execution_project.common.actors import Actor
from execution_project.common.api_keys import InvalidApiKey, authenticate
from execution_project.common.models import ApiKey
from execution_project.common.problems import Problem
from execution_project.common.rights import OF_SCOPE, Right, scopes_with

if TYPE_CHECKING:
    from rest_framework.views import APIView


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

    def may_see(self, account: str) -> bool:
        """Whether the key reaches this account."""
        return self.key.accounts is None or account in self.key.accounts


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer exk_…``."""

    def authenticate(self, request: Request) -> tuple[Principal, ApiKey] | None:
        """The principal, None without a header, ``AuthenticationFailed`` for anything but a valid key."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send the key as 'Authorization: Bearer exk_…'.")
        try:
            key = authenticate(text.strip())
        except InvalidApiKey:
            raise AuthenticationFailed("The API key is not valid.") from None
        return Principal(key), key

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing key a 401 and not a 403."""
        return "Bearer"


class HasRight(BasePermission):
    """Views declare ``rights = {"GET": Right.VIEW, …}``; what is not declared is denied, and no handler is a 405."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the key's scopes give the right that the view declares for this method."""
        principal = request.user
        if not isinstance(principal, Principal):
            return False
        if not hasattr(view, str(request.method).lower()):
            return True
        needed: Right | None = getattr(view, "rights", {}).get(request.method)
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
