"""From measured times to settings: the best ones that keep the rate, else the nearest."""

import pytest

from rarrl.config import load_config
from rarrl.errors import InputError
from rarrl_learning.speed.measure import WHOLE, Speed
from rarrl_learning.speed.preset import BUSY, IN_TIME, Measured, Needs, choose, least_hz, settings, write_settings


def speed(wall_ms, cpu_ms=None):
    return Speed(cpu_ms or wall_ms, wall_ms, wall_ms, 20)


GATE = speed(0.5)
DETECTOR = {
    ("accurate", 1): speed(100.0),
    ("accurate", 2): speed(60.0, 120.0),
    ("fast", 1): speed(50.0),
    ("fast", 2): speed(35.0, 60.0),
    ("quick", 1): speed(30.0),
    ("quick", 2): speed(25.0, 40.0),
}
POLICY = {(WHOLE, 1): speed(30.0), (WHOLE, 2): speed(20.0, 36.0), ("fast", 1): speed(5.0), ("fast", 2): speed(5.0, 9.0)}


def needs(target_hz, **given):
    return Needs(target_hz, **{"gate_hz": 20.0, "max_age_s": 0.4, "deadline_s": 0.25, "chunks_hz": 4.0} | given)


def chosen(target_hz, cores=2, policy=POLICY, **given):
    return choose(Measured(cores, DETECTOR, policy, GATE), needs(target_hz, **given))


@pytest.mark.parametrize(
    ("target_hz", "detector", "policy"),
    [
        (5.0, ("accurate", 1), (WHOLE, 1)),  # with the fewest threads
        (10.0, ("accurate", 2), (WHOLE, 1)),  # a pair is too long on one
        (14.0, ("fast", 1), (WHOLE, 1)),
        (20.0, ("fast", 2), (WHOLE, 1)),
        (28.0, ("quick", 2), (WHOLE, 1)),
    ],
)
def test_the_best_that_keeps_the_rate(target_hz, detector, policy):
    choice = chosen(target_hz)
    assert choice.keeps(needs(target_hz)) and (choice.detector, choice.policy) == (detector, policy)
    assert choice.busy <= BUSY


def test_the_policy_leaves_out_what_the_detector_needs():
    choice = chosen(12.0, cores=1, chunks_hz=8.0)  # 750 ms a second for both
    assert choice.detector == ("fast", 1) and choice.policy == ("fast", 1)


def test_a_chunk_that_is_late_is_no_choice():
    choice = chosen(5.0, deadline_s=0.02)
    assert choice.policy == ("fast", 1)
    nothing = chosen(5.0, policy={(WHOLE, 1): speed(300.0)})
    assert nothing.hz == 0.0 and not nothing.keeps(needs(5.0))


def test_where_nothing_keeps_the_rate_it_is_the_nearest():
    choice = chosen(60.0, cores=4)
    assert choice.detector == ("quick", 2) and choice.hz == pytest.approx(IN_TIME * 1e3 / 25.0)
    assert not choice.keeps(needs(60.0))
    assert settings(choice, needs(60.0))["detector"]["target_hz"] == 32.0


def test_without_a_policy_there_is_no_section_for_it():
    choice = chosen(10.0, policy={})
    assert choice.policy is None and "policy" not in settings(choice, needs(10.0))


def test_below_which_rate_the_robot_stands():
    measured = Measured(1, {("quick", 1): speed(350.0)}, {}, GATE)
    choice = choose(measured, needs(2.0))
    assert least_hz(measured, choice, needs(2.0)) == pytest.approx(1 / 0.05)
    assert least_hz(Measured(1, {("quick", 1): speed(500.0)}, {}, GATE), choice, needs(2.0)) == float("inf")


def test_the_file_is_read_by_the_parser_of_configurations_and_says_where_it_comes_from(tmp_path):
    path = tmp_path / "robot.yaml"
    config = write_settings(
        path, settings(chosen(10.0), needs(10.0), "household"), "Written by us\n" + "measured " * 40 + "\n\nend"
    )
    assert config == load_config(path)
    assert (config.detector.quality, config.detector.threads, config.detector.target_hz) == ("accurate", 2, 10.0)
    assert (config.policy.folder, config.policy.preset, config.policy.threads) == ("household", "", 1)
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "# Written by us" and max(map(len, lines)) <= 120
    with pytest.raises(InputError, match="--output: cannot write"):
        write_settings(path / "below", {}, "")


def test_ros_reads_the_same_file(tmp_path):
    rclpy = pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
    path = tmp_path / "robot.yaml"
    write_settings(path, settings(chosen(10.0), needs(10.0)), "about")
    from rclpy.node import Node

    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node(
        "any",
        context=context,
        cli_args=["--ros-args", "--params-file", str(path)],
        automatically_declare_parameters_from_overrides=True,
    )
    found = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("detector").items()}
    node.destroy_node()
    context.try_shutdown()
    assert found == {"quality": "accurate", "threads": 2, "target_hz": 10.0}
