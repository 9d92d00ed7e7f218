"""Quantization of Llama-architecture GGUF files and whole policies, by what a policy's actions need."""
