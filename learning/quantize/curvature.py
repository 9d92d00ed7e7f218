"""The cost of rounding errors to the actions: e H e of each row's error e, H the curvature of the columns."""

from __future__ import annotations

import numpy as np


def cost_terms(errors: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """(rows, columns) terms e_i (H e)_i; summed over a row they are e H e, the squared change of the actions.

    Args:
        errors: e, (rows, columns): the rounded weights minus the weights
        curvature: H, (columns, columns), symmetric, not negative; see `scores.Curvature`
    """
    return np.asarray((errors @ curvature) * errors)
