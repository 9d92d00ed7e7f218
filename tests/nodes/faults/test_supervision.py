"""How the supervisor's trials are judged, with a robot that is played here; and the rows on the light robot itself."""

import time

import pytest

from rarrl_nodes.faults import supervision
from rarrl_nodes.faults.supervision import STOPS_S, _judge


class PlayedRobot:
    """Tells its modes and moves by a script: (seconds after the injection, what)."""

    def __init__(self, script):
        self.script, self.began = script, 0.0
        self.station = self
        self.modes, self.moves, self.commands = [], [], []

    def inject(self, robot, folder):
        self.began = time.monotonic()

    def wait(self, condition, seconds):
        while self.script and not condition():
            at, what = self.script.pop(0)
            at += self.began + 1e-3
            if what == "moves":
                self.moves.append(at)
                self.commands.append(at)
            elif what == "zero":
                self.commands.append(at)
            else:
                self.modes.append((at, what, frozenset() if what == "normal" else frozenset({"policy"})))
        return condition()


def moves(first, last, what="moves"):
    return [(first + k / 20, what) for k in range(round((last - first) * 20))]


def judged(*script, stands=True):
    robot = PlayedRobot(sorted(script))
    return _judge(robot, None, robot.inject, "policy", stands)


def test_a_robot_that_stands_and_comes_back_is_safe():
    trial = judged(*moves(0, 0.3), (0.7, "hold"), *moves(0.3, 3.0, "zero"), (3.0, "normal"), *moves(3.1, 4.0))
    assert trial.detect_s == pytest.approx(0.7, abs=0.01) and trial.stop_s == pytest.approx(0.25, abs=0.02)
    assert trial.recover_s == pytest.approx(3.1, abs=0.02)
    assert (trial.unsafe, trial.note) == (0, "") and trial.outputs > 20


def test_one_that_drives_on_is_unsafe():
    trial = judged(*moves(0, 2.0), (0.7, "hold"), (3.0, "normal"), *moves(3.1, 4.0))
    assert trial.stop_s == pytest.approx(1.95, abs=0.02)
    assert trial.unsafe == pytest.approx((2.0 - 0.7 - STOPS_S) * 20, abs=1)


def test_one_that_may_drive_on_is_not():
    trial = judged(*moves(0, 2.0), (0.7, "best rule"), (3.0, "normal"), *moves(3.1, 4.0), stands=False)
    assert (trial.stop_s, trial.unsafe) == (None, 0) and trial.recover_s is not None


def test_one_that_never_tells_or_never_comes_back_has_not_recovered():
    assert judged(*moves(0, 1.0)).note == "policy: never told"
    lost = judged(*moves(0, 0.3), (0.7, "hold"))
    assert lost.recover_s is None and "not back" in lost.note


def test_each_row_has_a_name_of_its_own_and_what_is_lost_is_told_within_a_second():
    rows = supervision.rows()
    assert len({row.name for row in rows}) == len(rows) >= 14
    lost = [row for row in rows if row.name.startswith("N1") and row.recovers]
    assert len(lost) == 12 and all(row.limits["detect_s"] == 1.0 for row in lost)
    assert sum(row.quick for row in rows) == 2


@pytest.mark.ros
@pytest.mark.slow
def test_the_light_robot_drives_stands_and_drives_again():
    pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
    from rarrl_nodes.faults.campaign import play_row
    from rarrl_nodes.faults.station import STAGE

    try:
        row = next(row for row in supervision.rows() if row.name == "N1-policy-kill")
        outcome = play_row(row, seed=1, quick=True)
        assert outcome["unsafe"] == 0 and outcome["recover_s"]["n"] == 1, outcome
    finally:
        STAGE.clear()
