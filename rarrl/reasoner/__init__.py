"""Asks a language model for a plan or a verdict, with a deadline, and judges the answer."""
