"""Fixtures of these tests."""

from tests.engine_fixtures import engine, simulator, simulator_process

__all__ = ["engine", "simulator", "simulator_process"]
