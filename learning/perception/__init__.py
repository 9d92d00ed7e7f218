"""Trains and evaluates the stereo detector, on rendered and real pairs."""
