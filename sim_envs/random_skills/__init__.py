"""Robots with skills that nobody knows: an own skill set, statistics and world for each episode."""
