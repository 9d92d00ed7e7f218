"""ALFWorld, ALFRED's tasks as text games (Shridhar et al., ICLR 2021), as a world that nobody here made."""
