"""Which scripted expert a goal has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rarrl.errors import InputError

from .arm import Arm
from .drawers import Pull
from .expert import Hand, PickAndPlace
from .fixtures import Push, Turn


class NoExpert(Hand):
    """For goals that none of the experts does."""

    thing = ""

    def reaches(self) -> tuple[np.ndarray, np.ndarray]:
        """Zeros: nothing is known of where to go."""
        return np.zeros(3), np.zeros(3)

    def action(self) -> np.ndarray:
        """Raises: InputError, always."""
        raise InputError("LIBERO: no scripted expert does this task; choose among those that `Suite.scripted` names")


def expert_for(base: Any, arm: Arm, model: Any, data: Any, goal: Sequence[str]) -> Any:
    """The expert of a goal such as `("on", "plate_1", "main_table_stove_front_region")`."""
    if goal[0] == "open":
        return Pull(base, arm, model, data, goal[1])
    if goal[0] == "turnon":
        return Turn(base, arm, model, data, goal[1])
    if len(goal) == 3 and goal[1] in base.obj_body_id and not goal[2].endswith("_cabinet_1_top_region"):
        if goal[1].startswith("plate") and goal[2].startswith("main_table"):
            return Push(base, arm, model, data, goal[1], goal[2])
        return PickAndPlace(base, arm, model, data, goal)
    return NoExpert(base, arm, model, data)
