"""Parts of a user, named by their import path (`own_parts:Dial`): a policy, a reasoner, an orchestrator's rule."""

import numpy as np

from rarrl.policy.base import ActionChunk, InterfaceSpec
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Plan
from rarrl.types import CallStatus

MUG = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])
NUMBER = 7


class Dial:
    """A policy that turns by how bright the picture is; it has nothing to close."""

    spec = InterfaceSpec(
        cameras=("front",),
        image_size=32,
        proprio_names=("speed_m_s",),
        proprio_mean=(0.0,),
        proprio_scale=(1.0,),
        action_names=("linear_x_m_s", "angular_z_rad_s"),
        action_low=(0.0, -1.0),
        action_high=(0.5, 1.0),
        horizon=4,
        control_hz=10.0,
    )

    def infer(self, observation, stop=None):
        turn = observation.images.mean() / 127.5 - 1
        row = np.array([0.25, turn], np.float32)
        return ActionChunk(np.tile(row, (4, 1)), 0.1, observation.observed_at)

    def reset(self):
        pass


class Speechless:
    """A policy without `infer`."""

    spec = Dial.spec

    def reset(self):
        pass


class Tidy:
    """A reasoner that puts the mug on the desk, whatever it is asked."""

    name = "tidy"

    def ask(self, request):
        return Answer(
            request.decision, request.role, request.level, CallStatus.OK, seconds=0.1, backend="tidy", plan=MUG
        )

    def close(self):
        pass


class Twice:
    """An orchestrator policy: planner 1, then planner 1 again, before each attempt."""

    name = "twice"

    def __init__(self, calls=2):
        self.calls = calls

    def act(self, s, mask):
        return np.where(mask[1] & (s.history.calls_since_act < self.calls), 1, 0)


class AsksBeside:
    """An orchestrator policy: it asks the planner beside acting, as often as the class says."""

    name = "asks beside"
    thinks_beside = True
    questions = 1

    def __init__(self):
        self.asked = 0

    def act(self, s, mask):
        asks = mask[5] & (self.asked < self.questions)
        self.asked += int(asks.sum())
        return np.where(asks, 5, 0)


def needs_an_argument(argument):
    return argument


def features(images):
    """A vision tower of a line: a patch for each quarter of a picture of 32 pixels a side."""
    cells = images.reshape(len(images), 2, 16, 2, 16, 3).transpose(0, 1, 3, 2, 4, 5).reshape(len(images) * 4, -1, 12)
    return cells.astype(np.float32).mean(1) / 128 - 1


class CountsToFive:
    """A reasoner for a robot that counts: whatever the goal, it counts to five."""

    name = "counts"

    def ask(self, request):
        assert request.domain.skills.robot == "a counter"
        plan = Plan.from_rows([["count", "5"]])
        return Answer(request.decision, request.role, request.level, CallStatus.OK, 0.01, self.name, plan=plan)

    def close(self):
        pass


def wave(times):
    """A skill in Python."""
    return {"success": times > 1, "battery": 40.0}
