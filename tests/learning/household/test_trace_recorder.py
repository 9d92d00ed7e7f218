"""The recorder: a mission as it happened, with the pipeline's decisions on the mission's clock."""

from importlib.util import find_spec

import numpy as np
import pytest

from rarrl.events import ActEvent, EpisodeEvent, ShockEvent, ThinkEvent
from rarrl.range_scan import RangeScan
from rarrl.types import GateAction, GateReason, GateResult
from rarrl_learning.household.trace_recorder import PICTURE_EVERY, TraceRecorder
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.expert import Expert

PLAN = "PickupObject(mug); PutObject(mug, shelf)"


def drive(env, recorder, steps):
    """The expert's first steps of mission 3, judged by nobody but recorded."""
    env.reset(seed=3)
    recorder.begin(env, 3)
    expert = Expert()
    for step in range(steps):
        env.step(expert.act(env.world, env.executor.row))
        gate = GateResult.stop(GateReason.BLOCKED) if step == 4 else GateResult(0.1, 0.0, GateAction.PASS)
        scan = None if step == 0 else RangeScan(-0.2, 0.2, np.array([1.0, 2.0, np.inf]), 3.0)
        recorder.step(env.world, gate, scan, None, env.executor.row)
    return recorder.trace()


def test_a_mission_in_the_twin():
    env = HouseholdEnv(stereo=False)
    trace = drive(env, TraceRecorder("learned"), 20)
    world = env.world
    assert np.allclose(trace.t_s, 0.1 * np.arange(1, 21)) and trace.goal == env.mission.task.goal
    assert np.allclose(trace.pose[-1], (world.x, world.y, world.heading))
    assert np.allclose(trace.people[-1], [(p.x, p.y) for p in world.people])
    assert [t0 for t0, _, _ in trace.stops()] == [pytest.approx(0.5)] and trace.gate_reason[4] == "blocked"
    assert np.isnan(trace.clear_m[0]).all() and trace.clear_m[1].tolist() == [1.0, 2.0, 3.0]
    assert np.allclose(trace.bearings, (-0.2, 0.0, 0.2)) and trace.range_m == 3.0
    assert trace.subgoal[0].startswith("GotoLocation") and not trace.pictures
    assert trace.home.names == tuple(world.home.places) and len(trace.home.boxes) == len(trace.home.names)


def test_the_target_is_where_the_robot_believes_a_thing_to_be():
    env = HouseholdEnv(stereo=False)
    env.reset(seed=3)
    recorder = TraceRecorder()
    recorder.begin(env)
    index = next(i for i, place in env.memory.known.items() if place in env.world.home.places)
    thing, place = env.world.things[index].name, env.memory.known[index]
    env.memory.known = {index: place}
    recorder.step(env.world, None, None, None, ("PickupObject", thing))
    env.memory.known = {}
    recorder.step(env.world, None, None, None, ("PickupObject", thing))
    recorder.step(env.world, None, None, None, None)
    trace = recorder.trace()
    x0, y0, x1, y1 = env.world.home.places[place].box
    assert np.allclose(trace.target[0], ((x0 + x1) / 2, (y0 + y1) / 2))
    assert np.isnan(trace.target[1:]).all() and trace.gate == ("", "", "") and trace.subgoal[2] == ""


def test_decisions_are_told_on_the_missions_clock():
    recorder = TraceRecorder()
    env = HouseholdEnv(stereo=False)
    env.reset(seed=3)
    recorder.begin(env)
    episode = EpisodeEvent(
        episode=0,
        category="Delivery",
        task_type="pick_and_place_simple",
        goal="x",
        subgoals=("GotoLocation",),
        time_budget_s=9.0,
        token_budget=500.0,
        horizon=5,
        t=100.0,
    )
    call = {"status": "OK", "tokens": 300.0, "time_left_s": 7.0, "tokens_left": 200.0, "why": "", "answer": PLAN}
    for event in (
        episode,
        ActEvent(
            episode=0,
            decision=1,
            t0=100.0,
            t1=104.0,
            subgoal="GotoLocation",
            subgoal_index=0,
            status="FAILURE",
            subgoal_done=False,
            why="",
        ),
        ThinkEvent(episode=0, decision=2, t0=104.0, t1=106.0, role="planner", level=1, **call),
        ShockEvent(episode=0, t=106.0, time_left_s=1.0, tokens_left=20.0),
    ):
        recorder.decision(event)
    act, think, cut = recorder.trace().decisions
    assert (act.action, act.t0, act.t1, act.status, act.time_left_s) == ("act", 0.0, 4.0, "FAILURE", 9.0)
    assert (think.t0, think.t1, think.role, think.answer, think.tokens_left) == (4.0, 6.0, "planner", PLAN, 200.0)
    assert (cut.action, cut.t0, cut.time_left_s) == ("cut", 6.0, 1.0)


def test_a_second_mission_forgets_the_first():
    env, recorder = HouseholdEnv(stereo=False), TraceRecorder()
    drive(env, recorder, 5)
    assert len(drive(env, recorder, 3).t_s) == 3


@pytest.mark.skipif(find_spec("mujoco") is None, reason="needs mujoco")
def test_pictures_of_the_left_eye():
    env = HouseholdEnv(stereo=True)
    try:
        trace = drive(env, TraceRecorder(), PICTURE_EVERY + 2)
        assert trace.picture_steps.tolist() == [0, PICTURE_EVERY]
        assert trace.picture(1).shape == (240, 320, 3) and trace.picture(1).std() > 5
        assert not drive(env, TraceRecorder(pictures=False), 2).pictures
    finally:
        env.close()
