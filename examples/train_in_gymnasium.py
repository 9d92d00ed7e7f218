"""Trains a policy of when to think with your own loop: stable-baselines3's MaskablePPO on `rarrl/AlfredReplay-v0`.

Needs: pip install 'rarrl[train]'. Run: python examples/train_in_gymnasium.py [--quick]
You see: mean reward and LLM seconds a task before and after 20,000 decisions (about a minute on one
core; --quick trains on 2,000); then the policy, saved without a pickle, decides as any other rule does. The environment
is a plain gymnasium one: any other library's loop does as well.
"""

import sys
import tempfile

import gymnasium
import numpy as np
from sb3_contrib import MaskablePPO

from rarrl import make_orchestrator
from rarrl.alfred import SubgoalType, step_views
from rarrl.types import Budget, StateSummary
from rarrl_learning.orchestrator.from_sb3 import save_sb3

STEPS = 2_000 if "--quick" in sys.argv else 20_000  # decisions to train on
EPISODES = 100  # to judge by, with seeds that training does not see


def make() -> gymnasium.Env:
    """Each task may use 20 s and 4,000 tokens of thinking, with a provider's measured latencies.

    A second of thinking costs 0.02 of a success."""
    return gymnasium.make(
        "rarrl_sim_envs:rarrl/AlfredReplay-v0",
        profile="groq-70b",
        time_budget_s=20.0,
        token_budget=4000.0,
        cost_weight=0.02,
    )


def judge(model: MaskablePPO) -> None:
    """Plays EPISODES tasks with the most likely action."""
    env = make()
    rewards = np.zeros(EPISODES)
    seconds = np.zeros(EPISODES)

    for episode in range(EPISODES):
        observation, info = env.reset(seed=1_000_000 + episode)
        done = False
        while not done:
            action, _ = model.predict(observation, action_masks=info["action_mask"], deterministic=True)
            observation, reward, done, _, info = env.step(action)
            rewards[episode] += reward
            seconds[episode] += info["seconds"]

    print(f"reward {rewards.mean():.3f} a task, {seconds.mean():.1f} s of LLM a task")


def main() -> None:
    model = MaskablePPO("MlpPolicy", make(), n_steps=512, batch_size=128, gamma=1.0, seed=0)
    print("before: ", end="")
    judge(model)

    model.learn(STEPS)
    print(f"after {STEPS} decisions: ", end="")
    judge(model)

    with tempfile.TemporaryDirectory() as folder:  # with a folder of your own: rarrl run --sim --policy FOLDER
        orchestrator = make_orchestrator(str(save_sb3(model, folder)), "groq-70b", cost_weight=0.02)

    orchestrator.start(Budget.full(time_s=20.0, tokens=4000.0))
    decision = orchestrator.decide(
        StateSummary(step_views((SubgoalType.HeatObject,)), subgoal_index=0, step=0, horizon=10)
    )
    print(f"before a first attempt to heat something it decides: {decision.action.label}")


if __name__ == "__main__":
    main()
