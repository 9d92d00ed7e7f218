"""The lean control step against robosuite's own, on the same way."""

import numpy as np
import pytest

STEPS = 40


def _robosuite_takes_over(env):
    """Makes robosuite's own controller and gripper hold what ours do."""
    robot = env._sim.robots[0]
    robot.gripper.current_action = env._arm.fingers.copy()
    robot.controller.goal_ori = env._arm.goal_frame.copy()
    robot.controller.update(force=True)


@pytest.mark.parametrize("start", [0, 7])
def test_the_same_actions_lead_to_the_same_place_as_with_robosuite(env, start):
    rng = np.random.default_rng(start)
    env.reset(options={"split": "test", "start": start})
    actions, ours, theirs = [], [], []
    for _ in range(STEPS):
        action = env.expert_action() + 0.3 * rng.standard_normal(7)
        actions.append(action)
        env.advance(action)
        ours.append(np.concatenate((env._data.site_xpos[env._arm.site], env._data.qpos)))

    env.reset(options={"split": "test", "start": start})
    _robosuite_takes_over(env)
    for action in actions:
        env._sim.step(np.array(action, float))
        theirs.append(np.concatenate((env._data.site_xpos[env._arm.site], env._data.qpos)))

    moved = np.linalg.norm(np.ptp(ours, axis=0)[:3])
    assert moved > 0.1
    assert np.abs(np.array(ours)[:, :3] - np.array(theirs)[:, :3]).max() < 6e-4
    assert np.abs(np.array(ours) - np.array(theirs)).max() < 2e-3


def test_the_gripper_goes_by_the_sign_alone_and_needs_eight_steps(env):
    env.reset(options={"split": "test", "start": 0})
    for grip in (0.01, 1.0):
        env._arm.fingers = np.array([1.0, -1.0])
        ways = []
        for _ in range(8):
            env.advance(np.array([0.0] * 6 + [grip]))
            ways.append(env._arm.fingers.copy())
        assert not np.allclose(ways[6], [-1, 1])
        assert np.allclose(ways[7], [-1, 1])
