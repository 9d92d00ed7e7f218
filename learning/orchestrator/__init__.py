"""Trains, tunes and evaluates the orchestrator on ALFRED's tasks."""
