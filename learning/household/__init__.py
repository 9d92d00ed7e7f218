"""Missions in homes: evaluate and record them, and train the orchestrator on them."""
