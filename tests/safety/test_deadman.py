"""The deadman: what it lets through, and that it never lets the robot move by itself after a stop."""

import math
from pathlib import Path

import pytest

from rarrl.config import DeadmanConfig
from rarrl.safety.deadman import MOST_LOST, Deadman, DeadmanState, OneWriter
from rarrl.safety.timeline import Timeline

CONFIG = DeadmanConfig()
ZERO = (0.0,) * 6
AHEAD = (0.2, 0.0, 0.0, 0.0, 0.0, 0.1)
PERIOD_S = 0.05  # of the gate
SAFETY = Path(__file__).resolve().parents[2] / "docs/explanation/safety.md"


class Robot:
    """A deadman, its clock, and a gate that commands it."""

    def __init__(self, **settings):
        self.now = 100.0
        self.number = 0
        self.deadman = Deadman(DeadmanConfig(**settings), self.now)

    def command(self, speeds, age_s=0.01, number=None):
        """A command one period later; whether it passed."""
        self.now += PERIOD_S
        self.number = number if number is not None else self.number + 1
        return self.deadman.command(speeds, self.now - age_s, self.now, self.number)

    def wait(self, seconds):
        """Nothing is heard; the node looks at the clock all the while."""
        for _ in range(round(seconds / 0.02)):
            self.now += 0.02
            self.deadman.look(self.now)

    def press(self, pressed=True):
        self.deadman.button(pressed, self.now)

    def moving(self):
        assert self.command(ZERO) and self.command(AHEAD)
        return self

    @property
    def state(self):
        return str(self.deadman.state)


def held(**settings):
    robot = Robot(**settings)
    robot.command(AHEAD)  # it asks for motion, and gets none
    return robot


def armed():
    robot = Robot()
    robot.command(ZERO)
    return robot


def silent():
    robot = Robot().moving()
    robot.wait(CONFIG.max_silence_s + 0.1)
    return robot


def stopped():
    robot = Robot().moving()
    robot.deadman.stop("asked for")
    robot.wait(0.3)
    return robot


STATES = {"HELD": held, "ARMED": armed, "MOVING": lambda: Robot().moving(), "SILENT": silent, "ESTOP": stopped}
EVENTS = {
    "zero comes": lambda robot: robot.command(ZERO),
    "motion comes": lambda robot: robot.command(AHEAD),
    "not finite": lambda robot: robot.command((math.nan, *ZERO[1:])),
    "old": lambda robot: robot.command(AHEAD, age_s=CONFIG.max_silence_s + 0.01),
    "silence": lambda robot: robot.wait(CONFIG.max_silence_s + 0.1),
    "long silence": lambda robot: robot.wait(CONFIG.max_silence_s + CONFIG.resume_s + 0.1),
    "other publisher": lambda robot: robot.deadman.foreign("cmd_vel", robot.now),
    "estop": lambda robot: robot.press(),
    "`~/reset`": lambda robot: robot.deadman.reset(robot.now),
    "`~/enable`": lambda robot: robot.deadman.enable(robot.now),
}


def documented():
    """(state, what the base gets, event, next state) for each cell of the table in the documentation."""
    lines = SAFETY.read_text("utf-8").splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("| state | base gets |"))
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines[first : first + 3 + len(DeadmanState) - 1]
    )
    assert head[2:] == list(EVENTS) and [row[0] for row in rows] == list(STATES) == [str(s) for s in DeadmanState]
    return [(row[0], row[1], event, after) for row in rows for event, after in zip(head[2:], row[2:], strict=True)]


@pytest.mark.parametrize(("state", "gets", "event", "after"), documented())
def test_each_edge_of_the_documented_table(state, gets, event, after):
    robot = STATES[state]()
    assert robot.state == state and robot.deadman.zero is (gets == "zero")
    passed = EVENTS[event](robot)
    assert robot.state == after
    if event.endswith("comes"):
        assert passed is (after in ("ARMED", "MOVING"))


def test_it_starts_held_and_moves_after_one_zero():
    robot = Robot()
    assert not any(robot.command(AHEAD) for _ in range(100)) and robot.deadman.refused == {"HELD": 100}
    assert robot.command(ZERO) and robot.command(AHEAD) and robot.state == "MOVING" and robot.deadman.reason == ""


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("axis", range(6))
def test_what_is_not_finite_on_any_axis_holds_it(axis, number):
    robot = Robot().moving()
    assert not robot.command([number if k == axis else 0.0 for k in range(6)])
    assert robot.state == "HELD" and not robot.command(AHEAD)


@pytest.mark.parametrize("age_s", [0.21, 3600.0, -0.06, -math.inf, math.inf, math.nan])
def test_what_is_old_or_of_the_future_counts_as_not_heard(age_s):
    robot = Robot().moving()
    assert not robot.command(AHEAD, age_s) and robot.state == "MOVING"
    while robot.state == "MOVING":
        assert not robot.command(AHEAD, age_s)
    assert robot.now - robot.deadman.taken_s <= CONFIG.max_silence_s + PERIOD_S + 1e-9


def test_a_stamp_that_goes_back_is_refused():
    robot = Robot().moving()
    assert not robot.command(AHEAD, age_s=0.15) and robot.deadman.refused == {"out of order": 1}


def test_short_silences_go_on_and_long_ones_do_not():
    for seconds, goes_on in ((0.3, True), (1.1, True), (1.3, False), (60.0, False)):
        robot = Robot().moving()
        robot.wait(seconds)
        assert robot.command(AHEAD) is goes_on, seconds
        assert robot.command(ZERO) and robot.command(AHEAD)


def test_a_process_that_slept_itself_counts_the_whole_silence():
    robot = Robot().moving()
    robot.now += 30.0  # nobody looked at the clock
    assert not robot.command(AHEAD) and robot.state == "HELD"


def test_strictly_no_silence_goes_on():
    robot = Robot(resume_s=0.0).moving()
    robot.wait(0.3)
    assert robot.state == "HELD" and not robot.command(AHEAD)


def test_with_enable_zero_does_not_do():
    robot = Robot(restart="enable")
    assert not robot.command(ZERO) and not robot.command(AHEAD) and robot.state == "HELD"
    assert robot.deadman.enable(robot.now) == "" and robot.command(AHEAD)
    robot.wait(3.0)
    assert robot.deadman.enable(robot.now).startswith("no commands are heard")
    assert not robot.command(ZERO) and robot.deadman.enable(robot.now) == "" and robot.state == "ARMED"


def test_a_gate_that_was_started_again_needs_a_zero_first():
    robot = silent()
    assert not robot.command(AHEAD, number=1) and "started again" in robot.deadman.reason
    assert robot.command(ZERO) and robot.command(AHEAD)


def test_two_publishers_stop_it_until_one_has_gone_and_zero_has_come():
    robot = Robot().moving()
    for k in range(20):
        passed = [robot.command(AHEAD, number=100 + k), robot.command(AHEAD, number=1 + k)]
        assert k == 0 or not any(passed)
    assert "another publisher" in robot.deadman.reason and robot.deadman.enable(robot.now) == robot.deadman.reason
    robot.number = 119
    gone = robot.now
    while not robot.command(ZERO):
        assert robot.now < gone + 1.2
    assert robot.now > gone + 0.99 and robot.command(AHEAD)


def test_a_single_forged_command_does_not_pass():
    for number in (1, 2 + MOST_LOST + 1, 10**6):
        robot = Robot().moving()
        assert not robot.command((0.4, *ZERO[1:]), number=number) and robot.state == "HELD"


def test_numbers_of_a_publisher():
    writer = OneWriter()
    assert writer.follows(10**9) and writer.follows(10**9 + MOST_LOST) and not writer.follows(10**9 + 2 * MOST_LOST + 1)
    writer.forget()
    assert writer.follows(1) and not writer.follows(1)


def test_an_emergency_stop_is_latched_until_the_cause_is_gone_and_nobody_asks_for_motion():
    robot = Robot().moving()
    robot.press()
    assert robot.deadman.latched and not robot.command(AHEAD) and not robot.command(ZERO)
    assert robot.deadman.reset(robot.now) == "the emergency stop is still pressed"
    robot.press(False)
    robot.command(AHEAD)
    assert "still pressed" in robot.deadman.reset(robot.now), "another button may be"
    for _ in range(30):
        assert not robot.command(AHEAD)
    assert robot.deadman.reset(robot.now) == "commands still ask for motion: end them first"
    robot.command(ZERO)
    assert robot.deadman.reset(robot.now) == "" and robot.state == "HELD"
    assert not robot.command(AHEAD), "a reset does not move the robot"
    assert robot.command(ZERO) and robot.command(AHEAD)


def test_one_button_that_is_released_does_not_hide_another():
    robot = Robot()
    for _ in range(40):
        robot.wait(0.25)
        robot.press()
        robot.press(False)
        assert "still pressed" in robot.deadman.reset(robot.now)
    robot.wait(1.1)
    assert robot.deadman.reset(robot.now) == ""


def test_a_button_that_falls_silent_stops_it():
    robot = Robot(estop_silence_s=0.5)
    for _ in range(5):
        robot.press(False)
        robot.command(ZERO)
    robot.wait(0.6)
    assert robot.state == "ESTOP" and robot.deadman.reset(robot.now) == "the emergency stop is still silent"
    robot.press(False)
    assert robot.deadman.reset(robot.now) == "" and robot.state == "HELD"


def test_started_as_latched_it_needs_a_reset():
    robot = Robot(start_latched=True)
    assert not robot.command(ZERO) and not robot.command(AHEAD) and robot.deadman.enable(robot.now)
    robot.wait(0.3)
    assert robot.deadman.reset(robot.now) == "" and robot.command(ZERO) and robot.command(AHEAD)


@pytest.mark.parametrize("step_s", [2.0, -2.0, 3600.0, -3600.0, -1.7e9])
def test_a_wall_clock_that_is_set_neither_stops_the_robot_nor_makes_old_fresh(step_s):
    """-1.7e9: simulated time that is reset to 0."""
    line, robot = Timeline(), Robot()
    wall = 1.7e9
    for k in range(100):
        if k == 50:
            wall += step_s
        now = robot.now + PERIOD_S
        line.look(wall + now, now)
        taken = line.taken(wall + now - 0.01, now, robot.deadman.taken_s)
        assert robot.command(ZERO if k == 0 else AHEAD, age_s=now - taken), (k, robot.deadman.refused)
    old = line.taken(wall + robot.now - 0.5, robot.now, robot.deadman.taken_s)
    assert not robot.deadman.command(AHEAD, old, robot.now, robot.number + 1)


def test_simulated_time_that_stands_does_not_stop_the_robot():
    line, robot = Timeline(), Robot()
    for k in range(100):
        now = robot.now + PERIOD_S
        simulated = min(k, 30) * PERIOD_S  # paused from then on
        line.look(simulated, now)
        taken = line.taken(simulated, now, robot.deadman.taken_s)
        assert robot.command(ZERO if k == 0 else AHEAD, age_s=now - taken), k
