"""rarrl: see, act, and decide when to think, on the computer that a robot carries."""

__version__ = "0.1.0"
