"""A Llama transformer between embeddings and hidden states: the GGUF file, the torch model, llama.cpp's runtime."""
