"""Attacks on thinking: what a robot's skills can be made to do through each channel, with and without the rules."""
