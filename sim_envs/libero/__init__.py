"""LIBERO's tasks (Liu et al., NeurIPS 2023) and LIBERO-PRO's perturbations of them, with scripted experts."""
