"""ALFRED's household tasks as a decision process with replayed latencies: `rarrl/AlfredReplay-v0`."""
