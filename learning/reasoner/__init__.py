"""Trains and evaluates the planner; records, attacks and measures language models."""
