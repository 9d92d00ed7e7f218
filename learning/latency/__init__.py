"""Latency profiles: imported from logs, drawn, shipped."""
