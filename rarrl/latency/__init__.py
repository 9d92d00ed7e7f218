"""What a call of a language model costs: profiles, and calls drawn from them."""
