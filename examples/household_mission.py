"""One mission in a simulated home without pictures: the scripted expert carries it out.

Needs: rarrl alone. Run: python examples/household_mission.py
You see: the goal sentence, each sub-goal as it ends, and whether the goal was met. The loop is gymnasium's; put your
own policy in the place of the expert, which knows the whole world.
docs/explanation/household.md says what is simulated.
"""

import gymnasium

from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.expert import Expert
from rarrl_sim_envs.household.world import DT


def main() -> None:
    # disturbance=0: nothing goes wrong, so the plan of the start stays right. With 1 grips fail and things
    # are moved, and the expert needs a new plan now and then (`set_plan`).
    env = gymnasium.make("rarrl_sim_envs:rarrl/HouseholdTwin-v0", people=1, disturbance=0.0)
    observation, info = env.reset(seed=3)
    home = env.unwrapped
    assert isinstance(home, HouseholdEnv)
    expert = Expert()
    print(f"goal: {observation['instruction']}")

    terminated = truncated = False
    steps = 0
    while not terminated and not truncated:
        action = expert.act(home.world, info["subgoal"])  # v (m/s), omega (rad/s), interact
        observation, _, terminated, truncated, info = env.step(action)
        steps += 1

        event = info["event"]
        if event is not None:
            print(f"{steps * DT:6.1f} s  {' '.join(event.row)}: {event.status.value} {event.reason}")

    met, total = info["conditions"]
    print(f"conditions met: {met} of {total}, collisions: {info['collisions']}")


if __name__ == "__main__":
    main()
