import numpy as np
import pytest
from policy_fixtures import tiny_spec
from pydantic import ValidationError

from rarrl.errors import InputError


def test_words_are_rows_of_the_table():
    spec = tiny_spec()
    assert spec.words("Go LEFT!").tolist() == [2, 3, 0]
    assert spec.words("go sideways").tolist() == [2, 1, 0]


@pytest.mark.parametrize("text", ["", "...", "go left go left", "go " * 1000, "x" * 5000])
def test_texts_that_do_not_fit_are_refused(text):
    with pytest.raises(InputError, match="1 to 3 words"):
        tiny_spec().words(text)


def test_scales_go_there_and_back_and_are_cut_at_the_quantiles():
    spec = tiny_spec()
    actions = np.array([[-1.0, 3.0], [0.5, 0.0]], np.float32)
    assert np.allclose(spec.scale_actions(actions), [[-1, 1], [0.5, -0.2]])
    assert np.allclose(spec.unscale_actions(spec.scale_actions(actions)), actions, atol=1e-6)
    assert np.allclose(spec.unscale_actions(np.array([[9.0, -9.0]])), [[1.0, -2.0]])
    assert np.allclose(spec.scale_proprio(np.array([2.5, 1.0])), [1.0, 1.0])


@pytest.mark.parametrize(
    "change",
    [
        {"width": 300},
        {"image_size": 40},
        {"proprio_scale": (0.0, 1.0)},
        {"action_low": (1.0, 0.0)},
        {"action_low": (float("nan"), 0.0)},
        {"action_low": (0.0,)},
        {"vocabulary": ("go", "go")},
        {"colour": "red"},
    ],
)
def test_impossible_specs_are_refused(change):
    with pytest.raises(ValidationError):
        tiny_spec(**change)
