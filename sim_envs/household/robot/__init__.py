"""The robot in the household: what it senses, remembers and does."""
