"""The expert's rules, on the state of one task."""

import numpy as np

START = {"split": "train", "start": 4}


def test_it_turns_the_hand_upright_and_goes_over_the_thing_first(env):
    env.reset(options=START)
    thing, goal = env._expert.reaches()
    action = env.expert_action()
    assert action.shape == (7,)
    assert np.abs(action).max() <= 1
    assert np.dot(action[:2], thing[:2]) > 0
    assert action[6] == -1  # open
    assert np.linalg.norm(goal[:2]) > 0.1
    assert np.allclose(env.privileged(), np.concatenate((thing, goal)), atol=1e-6)


def test_it_grips_again_what_it_has_lost(env):
    env.reset(options=START)
    lifted = False
    for _ in range(150):
        lifted = lifted or (env._expert.reaches()[0][2] > -0.02 and env._data.xpos[_body(env)][2] > 0.05)
        if lifted:
            break
        env.advance(env.expert_action())
    assert lifted
    for _ in range(10):  # drops it
        env.advance(np.array([0.0] * 6 + [-1.0]))
    assert any(env.advance(env.expert_action()) for _ in range(200))


def _body(env):
    return env._sim.obj_body_id[env._expert.thing]
