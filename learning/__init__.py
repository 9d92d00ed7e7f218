"""Trains, tunes, evaluates, measures, quantizes and exports what a robot runs; no robot needs it at run time.

Installed as `rarrl_learning`.
"""
