"""A mission's trace, played to the view."""

import pytest
from mission_fixtures import PLAN, trace

from rarrl.view.state import encode
from rarrl_learning.household.view_trace import stories, trace_player


def at(player, t_s):
    player._t_s = t_s
    return player.look()


def test_where_the_robot_was_and_what_it_saw():
    one = trace()
    player = trace_player(one)
    shown = at(player, 2.05)
    assert shown.moment.pose == pytest.approx(tuple(one.pose[19])) and shown.moment.v_m_s == 0.3
    assert shown.moment.path[0] == pytest.approx(one.pose[0, :2]) and len(shown.moment.path) < 20
    assert shown.camera.image == one.pictures[4] and shown.camera.t_s == pytest.approx(1.7)
    assert (shown.camera.width_px, shown.camera.voxels) == (320, None)
    assert shown.moment.scan.ranges_m.tolist() == one.clear_m[19].tolist() and shown.moment.scan.increment_rad == 0.3
    assert (shown.moment.target, shown.moment.held) == ((6.5, 2.0), "mug") and shown.home.names == ("shelf", "sink")
    assert at(player, 1.12).moment.gate.action == "STOP" and at(player, 1.12).moment.gate.reason == "blocked"
    assert all(encode(part) for part in shown.parts().values() if part is not None)


def test_the_budget_drains_and_the_plan_is_told():
    told = stories(trace())
    assert [t_s for t_s, _ in told] == [0.0, 0.0, 1.0, 1.0, 3.0, 3.0, 6.0]
    begun, thinking, thought, last = told[1][1], told[3][1], told[4][1], told[-1][1]
    assert begun.bars[0].t1_s is None and begun.bars[0].label == "Go to" and begun.reason.label == "ACT"
    assert thinking.status == "thinking" and thinking.time_left_s == 10.0
    assert (thought.time_left_s, thought.tokens_left, thought.bars[-1].label) == (8.0, 700.0, PLAN)
    assert [(bar.role, bar.status) for bar in last.bars] == [("", "FAILURE"), ("planner", "OK"), ("", "SUCCESS")]


def test_a_trace_without_pictures():
    assert at(trace_player(trace(pictures=False)), 3.0).camera is None
