"""Whatever a model says, reading it gives an answer or a ValueError. Faults of models: `nodes/faults/reasoner.py`."""

import json

from hypothesis import given
from hypothesis import strategies as st

from rarrl.reasoner.answer_text import read_answer
from rarrl.types import Role
from rarrl_learning.reasoner.injection import rows_of

KEYS = st.sampled_from(["plan", "ok", "fault", "reasoning", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.text(max_size=300) | VALUES.map(json.dumps))
def test_any_text_is_an_answer_or_a_value_error(text):
    for role in Role:
        try:
            read_answer(text, role)
        except ValueError as error:
            assert len(str(error)) < 500
    rows_of(text)
