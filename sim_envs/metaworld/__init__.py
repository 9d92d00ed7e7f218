"""Meta-World's MT10 with instructions."""
