import numpy as np
import pytest

from rarrl_learning.quantize.curvature import cost_terms


def test_the_terms_of_a_row_sum_up_to_e_h_e():
    curvature = np.array([[2.0, 1.0], [1.0, 3.0]])
    errors = np.array([[1.0, -1.0], [0.5, 2.0]])
    terms = cost_terms(errors, curvature)
    assert terms.tolist() == [[1.0, 2.0], [1.5, 13.0]]  # by hand: H e is (1, -2) and (3, 6.5)
    assert terms.sum(1) == pytest.approx([e @ curvature @ e for e in errors])


def test_no_error_costs_nothing():
    assert not cost_terms(np.zeros((3, 4)), np.eye(4)).any()
