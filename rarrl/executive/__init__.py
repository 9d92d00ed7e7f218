"""Carries out plans of a robot's skills: what to do next after each outcome. Pure: clock in, values out."""
