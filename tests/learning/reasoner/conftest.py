"""Fixtures of language models."""

from reasoner_fixtures import _without_amx, make_model, model_file  # noqa: F401
