"""Training, tuning, evaluation, benchmarks, quantization and export of what a robot runs; not needed at run time.

Installed as `rarrl_learning`.
"""
