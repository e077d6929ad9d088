"""Orders in the admin: lists, and a page per order that tells its story."""

from orders.admin import lists

__all__ = ["lists"]
