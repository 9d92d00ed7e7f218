"""Decides before each step: act, or think, in which role and with which budget."""
