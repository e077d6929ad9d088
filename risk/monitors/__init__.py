"""Monitors: what is watched between orders, and sets latches that the gate reads."""
