"""ir-sim as somebody else's robot."""
