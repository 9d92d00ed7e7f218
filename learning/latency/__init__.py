"""Latency profiles: import from logs, pictures, and how the shipped ones were made."""
