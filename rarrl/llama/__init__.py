"""A Llama transformer between embeddings and hidden states: its GGUF file, and llama.cpp's runtime for it."""
