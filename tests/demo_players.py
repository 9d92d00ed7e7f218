"""Stand-ins for `rarrl_learning.household.demo.play`, which other processes can import."""

import os

from rarrl.errors import InputError
from rarrl_learning.household.report.trace import MissionResult, Played


def fake(setting, seed, pictures):
    goal = "filmed" if pictures else ""
    return Played(MissionResult(setting.policy, seed, goal, True, 1.0, 1.0, 0.0, 0.0, 0, 0, 0, "done"), ())


def dies(setting, seed, pictures):
    os._exit(1)


def refuses(setting, seed, pictures):
    raise InputError("no such model")
