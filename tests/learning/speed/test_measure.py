"""What is timed: all settings in turn, on pictures that differ."""

import time
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import cv2
import pytest

from rarrl.errors import InputError
from rarrl.perception.detectors import DETECTORS
from rarrl.policy.base import InterfaceSpec
from rarrl.types import StereoPair
from rarrl_learning.perception.synthetic import render_pair
from rarrl_learning.progress import counted
from rarrl_learning.speed import measure
from rarrl_learning.speed.measure import (
    WHOLE,
    detector_speeds,
    gate_speed,
    halved,
    observations,
    policy_presets,
    policy_speeds,
    rendered_rooms,
    speeds,
)


def test_medians_of_what_was_not_the_first_round(monkeypatch):
    clock = SimpleNamespace(cpu=0.0, wall=0.0)
    monkeypatch.setattr(time, "process_time", lambda: clock.cpu)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.wall)
    order = []

    def call(name, cpu_s, wall_s):
        def run():
            order.append(name)
            first = len(order) <= 3
            clock.cpu += cpu_s * (100 if first else 1)
            clock.wall += wall_s * (100 if first else 1)

        return run

    calls = {("a", 1): [call("a", 0.01, 0.02), call("A", 0.03, 0.04)], ("b", 2): [call("b", 0.05, 0.06)]}
    threads = []
    found = speeds(calls, threads.append, 2, lambda _: None)
    assert "".join(order) == "aAb" * 3 and threads == [1, 2] * 3
    assert (found["a", 1].cpu_ms, found["a", 1].wall_ms, found["a", 1].n) == pytest.approx((20.0, 30.0, 4))
    assert (found["b", 2].cpu_ms, found["b", 2].p95_ms, found["b", 2].n) == pytest.approx((50.0, 60.0, 2))


def test_the_detector_at_every_quality_and_number_of_threads():
    before = cv2.getNumThreads()
    rooms = rendered_rooms(160, 120, 2)
    assert [room.group for room in rooms] == ["indoor", "indoor"] and rooms[0].pair.left.shape == (120, 160, 3)
    said = []
    found = detector_speeds(rooms, [1, 2], 2, counted(lambda done, text: said.append((done, text))))
    assert set(found) == {(name, threads) for name in DETECTORS for threads in (1, 2)}
    assert all(speed.cpu_ms > 0 and 0 < speed.wall_ms <= speed.p95_ms and speed.n == 4 for speed in found.values())
    assert said[0] == (0.0, "accurate, 1 threads") and said[-1][0] == 3 * len(found) - 1
    assert cv2.getNumThreads() == before


def test_scenes_are_those_that_every_detector_can_use(monkeypatch):
    rooms = rendered_rooms(160, 120, 2, cube="outdoor")
    assert [room.group for room in rooms] == ["outdoor", "outdoor"]
    for room in rooms:
        assert not any(made(room.rig, room.spec).detect(room.pair).refusal for made in DETECTORS.values())

    def in_the_dark(*given):
        drawn = render_pair(*given)
        return replace(drawn, pair=StereoPair(0 * drawn.pair.left, 0 * drawn.pair.right))

    monkeypatch.setattr(measure, "render_pair", in_the_dark)
    with pytest.raises(InputError, match="64x64 show too little to be matched; give a larger size"):
        rendered_rooms(64, 64, 1)


def test_a_step_of_the_gate_takes_little():
    speed = gate_speed(2)
    assert 0 < speed.wall_ms < 50 and speed.n == 40


def test_observations_differ_in_pictures_and_in_words():
    spec = InterfaceSpec(
        ("front",), 32, ("x_m",), (0.5,), (1.0,), ("v",), (0.0,), (1.0,), 4, 10.0, ("pick", "the", "red", "mug"), 4
    )
    seen = observations(spec, 4)
    assert [len(o.instruction.split()) for o in seen] == [1, 2, 3, 4]
    assert len({o.images.tobytes() for o in seen}) == 4 and seen[0].images.shape == (1, 32, 32, 3)
    assert [len(spec.words(o.instruction)) for o in seen] == [1, 2, 3, 4]


def test_presets_of_a_folder_and_of_a_class():
    assert policy_presets("") == [WHOLE, "fast"] and policy_presets("household") == [WHOLE]
    assert policy_presets("own_parts:Dial") == [WHOLE]
    with pytest.raises(InputError, match="did you mean 'metaworld'"):
        policy_speeds("metawold", [1], 2, lambda _: None)


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama.cpp is missing: pip install 'rarrl[llama]'")
def test_the_policy_at_every_preset():
    found, spec = policy_speeds("", [1], 2, lambda _: None)
    assert set(found) == {(WHOLE, 1), ("fast", 1)} and spec.horizon > 1
    assert all(speed.cpu_ms > 0 and speed.n == 8 for speed in found.values())


@pytest.mark.parametrize(("size", "small"), [((640, 480), (320, 240)), ((741, 500), (372, 252)), ((64, 64), (64, 64))])
def test_half_the_size_is_one_that_the_matchers_take(size, small):
    assert halved(*size) == small
