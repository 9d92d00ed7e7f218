"""Fixtures of action policies."""

from policy_fixtures import recorded  # noqa: F401
