"""What the exchanges' servers share: connections that end without an answer, and header values of faults."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web


def drop(request: web.BaseRequest, *, reset: bool) -> web.Response:
    """Close the connection without a byte of answer: an orderly close, or a reset."""
    transport = request.transport
    if transport is not None:
        if reset:
            transport.abort()
        else:
            transport.close()
    return web.Response()


def headers_of(headers: Mapping[str, object]) -> dict[str, str]:
    """Header values as text."""
    return {str(name): str(value) for name, value in headers.items()}
