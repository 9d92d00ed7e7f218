"""A mission that is watched while it is played: in the twin, so without pictures, and one voxel grid by hand."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from rarrl.build import make_orchestrator
from rarrl.clock import ManualClock
from rarrl.decision_loop import play_episode
from rarrl.events import EpisodeEvent
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacle_sensor import ObstacleSensor
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import grid_spec
from rarrl.types import GateReason, GateResult, StereoPair
from rarrl.view.state import encode
from rarrl_learning.household.live import NOT_NOW, T_BASE_CAMERA, LiveRecorder
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.expert import Expert
from rarrl_sim_envs.household.robot.drivers import BODY, EXACT, HomeGate, HomeSensor, ended
from rarrl_sim_envs.household.robot.executive import HouseholdExecutive
from rarrl_sim_envs.household.robot.known_goals import known_goals


class Driver:
    """The expert; each step is recorded, and a scan with it."""

    def __init__(self, recorder, on_step=lambda step: None):
        self._recorder, self._on_step = recorder, on_step

    def begin(self, env):
        self._expert, self._gate, self.steps = Expert(), HomeGate(), 0
        self._expert.reset()
        self._gate.begin(env)
        self._sensor = self._recorder.sees(EXACT).make(env)

    def attempt(self, env, until=1 << 62):
        row = env.executor.row
        while True:
            action = self._expert.act(env.world, row, env.memory)
            result = GateResult.limited(0.1, 0.0, GateReason.BLOCKED, "free for 0.4 m")
            _, done, late, info = env.advance(np.asarray(action, dtype=np.float64))
            self.steps += 1
            self._recorder.step(env.world, result, self._sensor.read().scan, None, row)
            self._on_step(self.steps)
            if info["event"] is not None or done or late:
                return ended(env, row, info["event"], done or late)


class Nobody:
    """Is not asked: the policy is `never`."""

    name = "nobody"

    def ask(self, request):
        raise AssertionError("never asks")

    def close(self):
        pass


def play(recorder, on_step=lambda step: None, seed=50_003):
    """A mission with what the robot knows by itself; what was decided, and how it ended."""
    env = HouseholdEnv(stereo=False)
    orchestrator = make_orchestrator("never", "household")
    executive = HouseholdExecutive(env, Driver(recorder, on_step), known_goals(), 20.0, 6000.0, first_seed=0)

    def log(event):
        if isinstance(event, EpisodeEvent):
            recorder.begin(env, seed)
        recorder.decision(event)

    session = recorder.session(orchestrator)
    end = play_episode(executive, orchestrator, seed, ManualClock(), log, reasoner=Nobody(), session=session)
    return end, env


def test_a_mission_is_shown_step_by_step():
    recorder, seen = LiveRecorder("never"), []
    end, env = play(recorder, lambda step: seen.append(recorder.look()) if step % 20 == 1 else None)
    assert len(seen) > 3
    first, last = seen[0], recorder.look()
    assert first.story.policy == "never" and first.story.goal == env.mission.task.goal
    assert first.story.status == "acting" and first.story.reason.label == "ACT"
    assert [step.state for step in first.story.steps].count("now") == 1 and "Go to" in first.story.steps[0].name
    assert first.story.beliefs and all(": " in belief.text for belief in first.story.beliefs)
    assert first.home.size_m == pytest.approx(env.world.home.size) and len(first.home.boxes) == len(first.home.names)
    assert last.moment.pose == pytest.approx((env.world.x, env.world.y, env.world.heading))
    assert last.story.status == ("done" if end.success else "failed")
    assert len([bar for bar in last.story.bars if not bar.role]) == end.acts
    assert first.moment.gate.action == "LIMITED" and first.moment.gate.radius_m > 0.2
    assert len(first.moment.scan.ranges_m) and all(encode(part) for part in first.parts().values() if part is not None)
    assert recorder.trace().goal == first.story.goal, "the trace is kept as well"


def test_paused_the_world_stands_and_goes_on():
    recorder, steps, stood = LiveRecorder("never"), [], threading.Event()

    def on_step(step):
        steps.append(step)
        if step == 5:
            recorder.pause(True)
            stood.set()

    mission = threading.Thread(target=play, args=(recorder, on_step), daemon=True)
    mission.start()
    assert stood.wait(60) and recorder.look().controls.paused
    t_s = recorder.look().moment.t_s
    mission.join(0.5)
    assert mission.is_alive() and recorder.look().moment.t_s <= t_s + 0.1 + 1e-9 and len(steps) <= 6
    recorder.pause(False)
    mission.join(120)
    assert not mission.is_alive() and len(steps) > 6 and not recorder.look().controls.paused


def test_think_now_is_the_sessions_to_refuse():
    recorder = LiveRecorder("never")
    assert recorder.think_now() == NOT_NOW == recorder.look().controls.no_think
    recorder.session(make_orchestrator("never", "household"))
    assert recorder.think_now() == "no episode is under way" and recorder.look().controls.no_think == ""


def test_it_waits_for_real_time_only_while_somebody_watches(monkeypatch):
    slept = []
    monkeypatch.setattr("rarrl_learning.household.live.time.sleep", slept.append)
    monkeypatch.setattr("rarrl_learning.household.live.time.monotonic", lambda: 50.0 + sum(slept))
    recorder = LiveRecorder("never")
    recorder._wait(1.0)
    assert slept == []
    recorder.watch(True)
    for t_s in (1.0, 1.1, 1.2):
        recorder._wait(t_s)
    assert sum(slept) == pytest.approx(0.2)
    LiveRecorder("never", paced=False)._wait(99.0)
    assert sum(slept) == pytest.approx(0.2)


def test_what_the_detector_sees_stands_over_the_left_picture():
    rig = CameraRig(200.0, 200.0, 79.5, 59.5, 0.12, 160, 120)
    random = np.random.default_rng(0)
    wall = random.integers(0, 255, (120, 400, 3), dtype=np.uint8)
    disparity = 20  # pixels: a wall at 200 * 0.12 / 20 = 1.2 m
    pair = StereoPair(wall[:, 100:260].copy(), wall[:, 100 + disparity : 260 + disparity].copy())

    env = SimpleNamespace(stereo=True, scene=SimpleNamespace(rig=rig))
    recorder = LiveRecorder("never")
    inner = ObstacleSensor(ClassicalDetector(rig, grid_spec("near")), T_BASE_CAMERA, BODY, 31)
    reading = recorder.sees(HomeSensor(lambda env: inner)).make(env).read(pair)
    camera = recorder.look().camera
    assert np.array_equal(camera.image, pair.left[..., ::-1]) and (camera.width_px, camera.height_px) == (160, 120)
    assert reading.grid.occupied.any() and len(camera.voxels) > 20
    assert abs(float(np.median(camera.voxels[:, 3])) - 1.2) < 0.15
    assert recorder.look().camera is camera, "drawn once"
