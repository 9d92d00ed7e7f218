"""What the executive learns before it is shipped."""
