"""A Llama transformer from embeddings to hidden states: its GGUF file, its quantized blocks, and llama.cpp's
runtime."""
