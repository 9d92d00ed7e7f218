"""Every rule: its contract, its trigger on situations made by hand, and a golden replay of its decisions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rarrl.alfred import SubgoalType as T
from rarrl.errors import InputError
from rarrl.orchestrator.features import N_FEATURES, N_TYPES, History, Situation
from rarrl.orchestrator.learned import LearnedPolicy
from rarrl.orchestrator.registry import tuned_parameters
from rarrl.orchestrator.rules import RECIPES, RISK_SETS, grid, make_rule, plain_families

DATA = Path(__file__).parents[1] / "data"
SITUATIONS, GOLDEN = DATA / "rule_situations.json", DATA / "rule_decisions.golden.jsonl"
ACT, P1, P2, V1, V2 = range(5)


def make_situation(n: int, **changes: Any) -> Situation:
    """A fresh, rich robot n times over; `changes` by name, those of the history with `h_`."""
    h = History(n)
    values: dict[str, Any] = {
        "subgoal_type": np.zeros(n, np.int64),
        "remaining": np.zeros((N_TYPES, n)),
        "subgoal_index": np.zeros(n),
        "subgoal_count": np.full(n, 4.0),
        "step": np.zeros(n),
        "horizon": np.full(n, 20.0),
        "time_s": np.full(n, 100.0),
        "tokens": np.full(n, 1e4),
        "initial_time_s": np.full(n, 100.0),
        "initial_tokens": np.full(n, 1e4),
        "mean_s": np.array([[1.0], [2.0], [1.0], [2.0]]),
        "p95_s": np.array([[2.0], [4.0], [2.0], [4.0]]),
        "mean_tokens": np.full((4, 1), 100.0),
        "max_tokens": np.full((4, 1), 200.0),
        "cost_weight": np.full(n, 0.01),
    }
    for name, value in changes.items():
        if name.startswith("h_"):
            getattr(h, name[2:])[:] = value
        else:
            values[name] = np.broadcast_to(np.asarray(value, values[name].dtype), values[name].shape)
    return Situation(history=h, **values)


def decide(rule: Any, n: int, **changes: Any) -> list[int]:
    s = make_situation(n, **changes)
    return [int(a) for a in rule.act(s, s.action_mask())]


def random_situation(seed: int, n: int = 30) -> Situation:
    rng = np.random.default_rng(seed)
    failures, acts = rng.integers(0, 4, n), rng.choice([0, 0, 1, 3, 5], n)
    return make_situation(
        n,
        subgoal_type=rng.integers(0, 8, n),
        remaining=rng.integers(0, 3, (N_TYPES, n)),
        subgoal_index=rng.integers(0, 4, n),
        step=rng.integers(0, 20, n),
        time_s=rng.choice([0.0, 1.7, 5.0, 100.0, 100.0], n),
        tokens=rng.choice([150.0, 250.0, 1e4, 1e4, 1e4], n),
        h_consecutive_failures=np.minimum(failures, acts),
        h_subgoal_failures=np.minimum(failures, acts),
        h_subgoal_acts=acts,
        h_ema_failure=rng.random(n),
        h_recent_failures=rng.integers(0, 2, (5, n)),
        h_acts_since_think=rng.choice([0, 1, 3, 20], n),
        h_calls_since_act=rng.choice([0, 0, 0, 0, 1, 2, 3], n),
        h_planner_level=rng.choice([0, 0, 1, 2], n),
        h_verifier_level=rng.choice([0, 0, 1, 2], n),
    )


def learned_policy() -> LearnedPolicy:
    rng = np.random.default_rng(0)
    weights = tuple(rng.normal(size=shape).astype(np.float32) for shape in ((16, N_FEATURES), (5, 16)))
    biases = tuple(rng.normal(size=size).astype(np.float32) for size in (16, 5))
    return LearnedPolicy("learned", weights, biases, np.zeros(N_FEATURES, bool), np.ones(5, bool))


def check_policy(policy: Any, seeds: range = range(30)) -> None:
    """The contract of `OrchestratorPolicy`: (n,) integers in 0..4, inside the mask, repeatable, nothing changed,
    each robot for itself."""
    assert isinstance(policy.name, str) and policy.name
    for seed in seeds:
        s = random_situation(seed)
        mask = s.action_mask()
        before, mask_before = s.history._m.copy(), mask.copy()
        actions = policy.act(s, mask)
        assert actions.shape == (s.n,) and np.issubdtype(actions.dtype, np.integer)
        assert ((actions >= 0) & (actions <= 4)).all()
        assert mask[actions, np.arange(s.n)].all()
        assert np.array_equal(actions, policy.act(s, mask))
        assert np.array_equal(before, s.history._m) and np.array_equal(mask, mask_before)
        only_act = np.zeros_like(mask)
        only_act[0] = True
        assert not policy.act(s, only_act).any()
        half = random_situation(seed)
        half_mask = mask.copy()
        half_mask[1:, ::2] = False
        assert np.array_equal(policy.act(half, half_mask)[1::2], actions[1::2])


@pytest.mark.parametrize("family", plain_families())
def test_rules_keep_the_contract(family: str) -> None:
    for params in grid(family)[:: max(len(grid(family)) // 20, 1)]:
        check_policy(make_rule(family, **params), range(4))
    check_policy(make_rule(family))


def test_the_learned_policy_keeps_the_contract() -> None:
    check_policy(learned_policy())


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_all_rules_on_any_situation(seed: int) -> None:
    for family in plain_families():
        check_policy(make_rule(family), range(seed, seed + 1))


def test_never_and_always() -> None:
    assert decide(make_rule("never"), 3, h_consecutive_failures=[0, 1, 5]) == [ACT] * 3
    assert decide(make_rule("always", recipe="V1"), 3, h_calls_since_act=[0, 1, 2]) == [V1, ACT, ACT]


def test_a_recipe_is_one_call_after_the_other() -> None:
    both = make_rule("always", recipe="P2V2")
    assert decide(both, 4, h_calls_since_act=[0, 1, 2, 3]) == [P2, V2, ACT, ACT]
    assert decide(both, 3, time_s=[100.0, 1.9, 0.0]) == [P2, ACT, ACT]  # what cannot be paid for is left out
    under_way = make_rule("after_failure", recipe="P1V1")  # goes on although the trigger looks elsewhere
    assert decide(under_way, 2, h_calls_since_act=[0, 1]) == [ACT, V1]


def test_interval() -> None:
    assert decide(make_rule("interval", every=3), 4, h_acts_since_think=[0, 2, 3, 20]) == [ACT, ACT, P1, P1]


def test_threshold_and_after_failure() -> None:
    assert decide(make_rule("threshold", theta=0.3), 3, h_ema_failure=[0.2, 0.3, 0.31]) == [ACT, ACT, P1]
    assert decide(make_rule("after_failure", failures=2), 3, h_consecutive_failures=[0, 1, 2]) == [ACT, ACT, P1]


def test_boundary() -> None:
    assert decide(make_rule("boundary"), 3, h_subgoal_acts=[0, 1, 2]) == [V1, ACT, ACT]


def test_paced_spends_the_budget_over_the_subgoals_left() -> None:
    paced = make_rule("paced", share=1.0)  # verifier 1: 1 s, 100 tokens
    assert decide(paced, 3, time_s=[4.0, 3.9, 3.9], subgoal_index=[0, 0, 1]) == [V1, ACT, V1]
    assert decide(paced, 2, tokens=[400.0, 399.0]) == [V1, ACT]
    assert decide(paced, 2, h_subgoal_acts=[0, 1]) == [V1, ACT]
    assert decide(make_rule("paced", share=2.0), 2, time_s=[2.0, 1.9]) == [V1, ACT]


def test_random_at_its_rate_and_repeatable() -> None:
    n = 5000
    rng = np.random.default_rng(0)
    state = {"step": rng.integers(0, 20, n), "time_s": 2 + 50 * rng.random(n), "subgoal_index": rng.integers(0, 4, n)}
    for rate in (0.1, 0.5):
        actions = decide(make_rule("random", rate=rate), n, **state)
        assert np.mean(np.array(actions) == P1) == pytest.approx(rate, abs=0.03)
    few, many = (np.array(decide(make_rule("random", rate=r), n, **state)) for r in (0.1, 0.5))
    assert (many[few == P1] == P1).all()


def test_brace_cools_down_and_commits() -> None:
    brace = make_rule("brace", failures=1, cooldown=2, window=3)

    def ask(recent: int, since: int, planner: int = 0, consecutive: int = 1) -> int:
        return decide(
            brace,
            1,
            h_recent_failures=[[1.0 if i < recent else 0.0] for i in range(5)],
            h_acts_since_think=since,
            h_planner_level=planner,
            h_consecutive_failures=consecutive,
        )[0]

    assert ask(recent=0, since=20) == ACT  # no evidence of failure
    assert ask(recent=1, since=20) == P1
    assert ask(recent=1, since=1) == ACT  # cooling down
    assert ask(recent=1, since=2, planner=1) == ACT  # committed to a fresh plan
    assert ask(recent=1, since=3, planner=1) == P1  # the window is over
    assert ask(recent=2, since=2, planner=1, consecutive=2) == P1  # the plan failed twice in a row


def test_risk_table() -> None:
    rule = make_rule("risk_table", risky="put", verify=1, plan=2, failures=1)
    put, goto = int(T.PutObject), int(T.GotoLocation)
    assert decide(rule, 3, subgoal_type=[goto, put, put], h_verifier_level=[0, 0, 1]) == [ACT, V1, ACT]
    assert decide(rule, 3, h_subgoal_failures=[0, 1, 1], h_planner_level=[0, 0, 1]) == [ACT, P2, ACT]
    assert decide(rule, 1, subgoal_type=put, h_subgoal_failures=1) == [P2]  # the plan first, then the check
    assert decide(rule, 1, subgoal_type=put, h_subgoal_failures=1, time_s=1.5) == [V1]  # no money for the plan
    assert decide(rule, 2, subgoal_type=put, h_calls_since_act=[1, 2]) == [V1, ACT]
    late = make_rule("risk_table", risky="put", theta=0.2)
    assert decide(late, 2, subgoal_type=put, h_ema_failure=[0.1, 0.2]) == [ACT, V1]


def test_risk_table_keeps_a_reserve_for_risky_subgoals() -> None:
    rule = make_rule("risk_table", risky="put", plan=1, pace=1.0)
    remaining = np.zeros((N_TYPES, 2))
    remaining[int(T.PutObject)] = 3.0  # three checks of 1 s to come
    assert decide(rule, 2, remaining=remaining, h_subgoal_failures=1, time_s=[4.0, 3.9]) == [P1, ACT]
    free = make_rule("risk_table", risky="put", plan=1, pace=0.0)
    assert decide(free, 2, remaining=remaining, h_subgoal_failures=1, time_s=[4.0, 3.9]) == [P1, P1]


@pytest.mark.parametrize("family", plain_families())
def test_every_parameter_set_of_the_grid_makes_a_rule_that_says_so(family: str) -> None:
    sets = grid(family)
    assert len({json.dumps(p, sort_keys=True) for p in sets}) == len(sets) >= 1
    for params in sets:
        rule: Any = make_rule(family, **params)
        assert (rule.name, rule.params) == (family, params)


def test_recipes_and_risk_sets_hold_what_their_names_say() -> None:
    for name, recipe in RECIPES.items():
        assert name == "".join(f"{a.role.value[0].upper()}{a.level}" for a in recipe)  # type: ignore[union-attr]
    assert RISK_SETS["none"] == () and T.GotoLocation not in RISK_SETS["all_but_goto"]


@pytest.mark.parametrize(
    ("family", "params", "message"),
    [
        ("sometimes", {}, "known rules: never, always"),
        ("always", {"recipe": "P9"}, "P9"),
        ("risk_table", {"risky": "everything"}, "everything"),
        ("interval", {"often": 3}, "often"),
        ("never", {"recipe": "P1"}, "recipe"),
        ("threshold", {"theta": "high"}, "theta"),
        ("threshold", {"theta": float("nan")}, "theta"),
        ("interval", {"every": None}, "every"),
        ("interval", {"every": [1]}, "every"),
        ("always", {"recipe": ["P1"]}, "recipe"),
        ("brace", {"window": True}, "window"),
        ("interval", {"every": -3}, "rule 'interval': parameter every must be 1 or more, got -3"),
        ("threshold", {"theta": 30}, "rule 'threshold': parameter theta must be 0 to 1, got 30"),
        ("random", {"rate": -0.1}, "rule 'random': parameter rate must be 0 to 1, got -0.1"),
        ("confidence", {"first": 3}, "rule 'confidence': parameter first must be 1 to 2, got 3"),
        (
            "threshold",
            {"teta": 1},
            "'teta' is unknown; allowed: theta, recipe, beside; did you mean 'theta'?",
        ),
        ("never", {"recipe": "P1"}, "rule 'never': parameter 'recipe' is unknown; allowed: beside"),
        ("always", {"recipe": "P9"}, "rule 'always': recipe 'P9' is not an allowed value"),
    ],
)
def test_unknown_rules_and_parameters_are_one_clear_line(family: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        make_rule(family, **params)
    assert message in str(error.value) and "\n" not in str(error.value)


# --- golden replay ---


def recorded_situations() -> Situation:
    """Sixty robots, kept as numbers: random generators may change between versions of numpy."""
    recorded = json.loads(SITUATIONS.read_text())
    return make_situation(len(recorded["step"]), **{k: np.array(v) for k, v in recorded.items()})


def golden_lines() -> list[str]:
    """One line per family and parameter set: its decisions for the recorded situations. Of the rules that are tuned."""
    s, lines = recorded_situations(), []
    tuned = tuned_parameters()
    for family in (name for name in plain_families() if name in tuned):
        for params in grid(family)[:: max(len(grid(family)) // 3, 1)][:3]:
            decisions = "".join(str(a) for a in make_rule(family, **params).act(s, s.action_mask()))
            lines.append(json.dumps({"rule": family, "params": params, "decisions": decisions}))
    return lines


def test_decisions_match_the_golden_file() -> None:
    """Refresh deliberately, and say in the commit what moved: `python tests/orchestrator/test_baselines.py`."""
    recorded, now = GOLDEN.read_text().splitlines(), golden_lines()
    moved = [f"was {a}\nnow {b}" for a, b in zip(recorded, now, strict=True) if a != b]
    assert not moved, "\n".join(moved)


if __name__ == "__main__":
    old = GOLDEN.read_text().splitlines() if GOLDEN.exists() else []
    new = golden_lines()
    GOLDEN.write_text("\n".join(new) + "\n")
    sys.stdout.write("".join(f"now {line}\n" for line in new if line not in old) or "nothing moved\n")
