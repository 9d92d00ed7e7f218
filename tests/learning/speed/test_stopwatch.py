"""A stopwatch around functions of others: each stage its own time, and everything as before afterwards."""

import time
from types import SimpleNamespace

import pytest

from rarrl_learning.speed.stopwatch import Stopwatch


class Part:
    def work(self, clock, ms):
        clock.ms += ms
        return ms


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(ms=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.ms / 1e3)
    return clock


def test_a_stage_within_another_counts_for_itself_alone(clock):
    module = SimpleNamespace(inner=Part().work)

    def outer():
        clock.ms += 5.0
        module.inner(clock, 3.0)
        module.inner(clock, 4.0)
        return "done"

    module.outer = outer
    watch = Stopwatch()
    with watch.watching([("outer", module, "outer"), ("inner", module, "inner")]):
        assert module.outer() == "done"
        assert watch.ms == pytest.approx({"outer": 5.0, "inner": 7.0})
        watch.clear()
        module.inner(clock, 1.0)
        assert watch.ms == pytest.approx({"inner": 1.0})
    module.outer()
    assert watch.ms == pytest.approx({"inner": 1.0}) and module.outer is outer


def test_classes_and_objects_are_as_before_even_after_an_error(clock):
    part, method = Part(), Part.work
    watch = Stopwatch()
    with pytest.raises(TypeError), watch.watching([("a", Part, "work"), ("b", part, "work")]):
        assert part.work(clock, 2.0) == 2.0
        part.work()
    assert watch.ms == pytest.approx({"b": 2.0}), "what is watched was found before any of it was wrapped"
    assert Part.work is method and "work" not in vars(part)


def test_a_stage_that_is_not_there_is_an_error():
    with pytest.raises(AttributeError, match="renamed"), Stopwatch().watching([("a", Part, "renamed")]):
        pass
