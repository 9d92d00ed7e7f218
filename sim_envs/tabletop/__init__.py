"""A table on which only the words tell which task is meant."""
