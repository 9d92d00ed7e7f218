"""Joint states in parts: each joint has the time of its own newest position."""

import doctest
import math

import pytest

from rarrl.safety import joint_states
from rarrl.safety.joint_states import MAX_JOINTS, JointStates

ARM = ["shoulder", "elbow"]


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(joint_states).failed == 0


def known(messages, names=ARM):
    states = JointStates()
    wrong = [states.update(*message) for message in messages]
    return (*states.of(names), [text for text in wrong if text])


WHOLE = (ARM, [0.0, 1.0], 10.0)
CASES = {
    "one publisher": ([WHOLE], {"shoulder": 0.0, "elbow": 1.0}, 10.0, []),
    "another part, later": ([WHOLE, (["gripper"], [0.5], 11.0)], {"shoulder": 0.0, "elbow": 1.0}, 10.0, []),
    "another order": ([(["elbow", "shoulder"], [1.0, 0.0], 10.0)], {"shoulder": 0.0, "elbow": 1.0}, 10.0, []),
    "a joint each": ([(["elbow"], [1.0], 9.0), (["shoulder"], [0.0], 10.0)], {"shoulder": 0.0, "elbow": 1.0}, 9.0, []),
    "the slower part decides": (
        [(["elbow"], [1.0], 9.0), (["shoulder"], [0.0], 10.0), (["shoulder"], [0.1], 11.0)],
        {"shoulder": 0.1, "elbow": 1.0},
        9.0,
        [],
    ),
    "an older message of one joint": ([WHOLE, (["elbow"], [5.0], 9.0)], {"shoulder": 0.0, "elbow": 1.0}, 10.0, []),
    "NaN, then an older one": (
        [WHOLE, (["elbow"], [math.nan], 12.0), (["elbow"], [1.0], 11.0)],
        {"shoulder": 0.0},
        10.0,
        [],
    ),
    "efforts alone": ([WHOLE, (ARM, [], 11.0)], {"shoulder": 0.0, "elbow": 1.0}, 10.0, []),
    "extra joints that are NaN": (
        [([*ARM, "wheel"], [0.0, 1.0, math.nan], 10.0)],
        {"shoulder": 0.0, "elbow": 1.0},
        10.0,
        [],
    ),
    "a joint that is NaN": ([WHOLE, (ARM, [math.nan, 2.0], 11.0)], {"elbow": 2.0}, 11.0, []),
    "a name twice": (
        [WHOLE, (["elbow", "elbow"], [1.0, 2.0], 11.0)],
        {"shoulder": 0.0},
        10.0,
        ["joint elbow occurs twice"],
    ),
    "too few positions": ([WHOLE, (ARM, [1.0], 11.0)], {}, -math.inf, ["2 names and 1 positions"]),
    "nothing yet": ([], {}, -math.inf, []),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_known_of_the_arm(case):
    messages, positions, oldest, wrong = CASES[case]
    assert known(messages) == (positions, oldest, wrong)


def test_a_garbled_publisher_does_not_fill_the_memory():
    states = JointStates()
    states.update(ARM, [0.0, 1.0], 1.0)
    for number in range(MAX_JOINTS + 50):
        states.update([f"joint{number}"], [0.0], 2.0)
    states.update(ARM, [0.5, 1.5], 3.0)
    assert len(states._joints) == MAX_JOINTS and states.of(ARM) == ({"shoulder": 0.5, "elbow": 1.5}, 3.0)
