"""The planner model: train and evaluate it; record, attack and benchmark any language model."""
