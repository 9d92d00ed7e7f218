"""A Llama-architecture GGUF in fewer bits, chosen by what the actions of a policy need."""
