"""Monitors that look at orders, exchange orders and attempts; what they do stands in ``risk.monitors``."""
