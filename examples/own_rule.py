"""A rule of your own for when to think, compared with a shipped one on replayed household tasks.

Needs: rarrl alone. Run: python examples/own_rule.py
You see: for each rule, how many of 60 tasks succeed and how long the language model thought. A rule looks at many
robots at once: each number of a `Situation` is an array with one entry for each robot.
"""

import numpy as np

from rarrl import make_orchestrator, replay
from rarrl.config import config_from_values
from rarrl.orchestrator.features import Situation
from rarrl.orchestrator.rules import RECIPES, Mask, Rule, register_rule
from rarrl_sim_envs.alfred.make import make_executive

EPISODES = 60
PROFILE = "groq-70b"  # how long calls take: a provider's measured latencies
COST_WEIGHT = 0.01  # a second of thinking costs a hundredth of a success


def late_and_failing(s: Situation, failures: float) -> Mask:
    """After `failures` failures in a row, but only in the second half of a task, where a lost task costs most."""
    return (s.history.consecutive_failures >= failures) & (s.subgoal_index >= s.subgoal_count / 2)


def make_late_failures(failures: float = 1, recipe: str = "P1") -> Rule:
    """The trigger, and the calls that it starts: P1 is the planner at level 1, V2 the verifier at level 2."""
    params = {"failures": failures, "recipe": recipe}
    return Rule("late_failures", lambda s: late_and_failing(s, failures), RECIPES[recipe], params)


# The axes are the values that `rarrl tune rules` would try.
register_rule(
    "late_failures", make_late_failures, axes={"failures": (1, 2), "recipe": tuple(RECIPES)}, texts=("recipe",)
)


def main() -> None:
    chosen = {"profile": PROFILE, "time_budget_s": 20.0, "token_budget": 4000.0, "cost_weight": COST_WEIGHT}
    config = config_from_values({"orchestrator": chosen, "replay": {"seed": 1}}, "example")

    for rule in ("never", "after_failure", "late_failures", 'late_failures:{"recipe": "P2V2"}'):
        orchestrator = make_orchestrator(rule, PROFILE, COST_WEIGHT)
        ends = replay(make_executive(config), orchestrator, EPISODES)  # the same tasks for each rule
        seconds = np.mean([end.llm_seconds for end in ends])
        print(f"{rule}: {sum(end.success for end in ends)} of {EPISODES} tasks, {seconds:.2f} s of LLM a task")


if __name__ == "__main__":
    main()
