"""Paraphrases, and what the base class does for any environment of a suite."""

import numpy as np
import pytest

from rarrl.errors import InputError
from rarrl.policy.spec import RobotInfo
from rarrl_sim_envs.instruction_env import SPLITS, InstructionEnv, load_mujoco, paraphrases, task_named

PENDULUM = """<mujoco><worldbody><body><joint type="hinge" axis="0 1 0"/><geom size=".1" pos="0 0 -1"/></body>
</worldbody></mujoco>"""


class Pendulum(InstructionEnv):
    """Swings freely; its expert says how it hangs."""

    robot = RobotInfo(("view",), ("angle",), ("torque",), 10.0)
    rendering = "not at all"

    def __init__(self, **arguments):
        mujoco = load_mujoco()
        model = mujoco.MjModel.from_xml_string(PENDULUM)
        super().__init__(mujoco, model, mujoco.MjData(model), "swing", 3, **({"render_mode": None} | arguments))

    def images(self):
        return np.zeros((1, 64, 64, 3), np.uint8)

    def _begin(self, first, start):
        self._mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[0] = 0.1 if first == SPLITS["train"] else 0.1 * start

    def advance(self, action):
        self._mujoco.mj_step(self._model, self._data, 10)
        self._steps += 1
        return False

    def proprio(self):
        return self._data.qpos.astype(np.float32)

    def expert_action(self):
        return self.proprio()


def test_pairs_of_equal_index_are_held_out():
    verbs, nouns = ("press", "touch"), ("cube", "block")
    assert paraphrases(verbs, nouns, held_out=True) == [("press", "cube"), ("touch", "block")]
    assert paraphrases(verbs, nouns, held_out=False) == [("press", "block"), ("touch", "cube")]


def test_an_unknown_task_is_refused_with_the_known_ones():
    assert task_named({"open": 1}, "open") == 1
    with pytest.raises(InputError, match="'opne' is unknown; allowed: open, close"):
        task_named({"open": 1, "close": 2}, "opne")


@pytest.fixture
def env():
    pytest.importorskip("mujoco", reason="MuJoCo is not installed")
    return Pendulum()


def test_what_the_expert_tries_out_is_undone(env):
    env.reset(seed=0)
    before = env.proprio()
    chunk = env.expert_chunk(4)
    assert np.array_equal(env.proprio(), before)
    assert len(set(chunk.ravel().tolist())) == 4  # it did swing
    assert not env.step(chunk[0])[3]  # the steps tried out do not count
    for row in chunk[1:]:
        assert np.array_equal(env.proprio(), row)
        env.step(row)


def test_an_episode_is_truncated_after_its_steps(env):
    env.reset(options={"split": "test", "start": 3, "instruction": "hang still"})
    assert env.proprio() == pytest.approx(0.3)
    ends = [env.step(np.zeros(1, np.float32)) for _ in range(3)]
    assert [truncated for *_, truncated, _ in ends] == [False, False, True]
    assert ends[0][0]["instruction"] == "hang still"
    assert env.reset()[0]["instruction"] == "swing"


def test_wrong_arguments_are_refused(env):
    with pytest.raises(InputError, match="render_mode must be None or 'rgb_array', got 'human'"):
        Pendulum(render_mode="human")
    with pytest.raises(InputError, match="'dev' is unknown; allowed: train, test"):
        env.reset(options={"split": "dev"})
