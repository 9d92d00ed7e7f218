from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.skills.plan import Plan, Step

NAMES = st.text("abz_ ä'(", min_size=1, max_size=6)
PLANS = st.lists(st.builds(Step, NAMES, st.lists(NAMES, max_size=3).map(tuple)), max_size=5)


@given(PLANS)
@settings(max_examples=30, deadline=None)
def test_rows_hold_all_of_a_plan(steps):
    plan = Plan(tuple(steps))
    assert Plan.from_rows(plan.to_rows()) == plan


def test_a_plan_is_shown_in_one_line():
    plan = Plan.from_rows([["pick", "soda"], ["dock"], ["turn", 90]])
    assert str(plan) == "pick(soda); dock(); turn(90)"
    assert plan.steps[2].arguments == ("90",)
