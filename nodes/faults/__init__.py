"""Faults injected on purpose, and what becomes of the robot: `rarrl faults run`."""
