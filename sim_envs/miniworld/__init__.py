"""MiniWorld as somebody else's robot."""
