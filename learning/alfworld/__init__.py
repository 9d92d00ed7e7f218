"""When to think in ALFWorld: what language models answer there, and what a policy learns from it."""
