"""A table on which only the instruction says which task is meant."""
