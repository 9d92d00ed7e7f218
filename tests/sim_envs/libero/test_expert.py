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


def test_a_thing_is_held_wherever_a_finger_touches_it(env):
    """As the ketchup's neck does, beside the pad: an expert that waited for both pads would wait for good."""
    expert = env._expert
    thing = np.flatnonzero(expert._touching)[0]
    kept = env._data, expert._data

    class Seen:
        """Contacts of fingers that stand still."""

        qvel = np.zeros(env._model.nv)

        def __init__(self, *pairs):
            self.contact = type("Contacts", (), {"geom": np.array(pairs, int).reshape(-1, 2)})

    (pad, side), (other_pad, other_side) = expert._fingers
    try:
        for pairs, held in (
            (((thing, pad), (thing, other_side)), True),
            (((side, thing), (thing, other_pad)), True),
            (((thing, pad), (thing, side)), False),
            ((), False),
        ):
            expert._data = Seen(*pairs)
            assert expert._held() is held
    finally:
        env._data, expert._data = kept


def _body(env):
    return env._sim.obj_body_id[env._expert.thing]
