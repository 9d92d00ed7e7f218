"""A home to run missions in: `rarrl/Household-v0`.
docs/explanation/household.md says what is simulated and what is not."""
