"""A home to run missions in: `rarrl/Household-v0`. docs/HOUSEHOLD.md says what is simulated and what is not."""
