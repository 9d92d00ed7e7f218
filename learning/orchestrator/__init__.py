"""Train, tune, evaluate and benchmark the orchestrator on ALFRED's tasks."""
