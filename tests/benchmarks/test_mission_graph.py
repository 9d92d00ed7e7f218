"""The figures of benchmarks/mission_graph.py, from numbers made by hand."""

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location(
    "mission_graph", Path(__file__).resolve().parents[2] / "benchmarks" / "mission_graph.py"
)
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


def test_when_it_braked_and_when_it_stood():
    speeds = [(10.0 + 0.1 * i, v) for i, v in enumerate([0.5, 0.5, 0.5, 0.4, 0.28, 0.16, 0.04, *[0.0] * 10])]
    told = benchmark.braked(speeds, killed=10.05)
    assert told == {"brakes_s": pytest.approx(0.15), "stop_s": pytest.approx(0.55)}
    assert benchmark.braked(speeds[:5], 10.05) == {"brakes_s": None, "stop_s": None}
    rolling = [(at, 0.5) for at, _ in speeds]
    assert benchmark.braked(rolling, 10.0)["stop_s"] is None


def test_when_the_gate_last_asked_for_movement():
    commands = [(1.0, 0.4), (1.1, 0.4), (1.35, 0.2), (1.4, 0.0), (1.5, 0.0)]
    assert benchmark.stopped(commands, 1.05)["stop_s"] == pytest.approx(0.3)
    assert benchmark.stopped(commands[:3], 1.05)["stop_s"] is None  # nobody has heard a zero
    assert benchmark.stopped([(2.0, 0.0)], 1.9)["stop_s"] == 0.0


def test_figures_of_missions_and_kills():
    missions = [
        {"success": True, "met": 2, "conditions": 2, "collisions": 0, "loop_miss_rate": 0.5},
        {"success": False, "met": 1, "conditions": 2, "collisions": 1, "loop_miss_rate": 0.01},
    ]
    kills = [
        {"node": "safety_gate_node", "brakes_s": 0.2, "stop_s": 0.5, "recovered": True},
        {"node": "orchestrator_node", "brakes_s": 0.1, "stop_s": 0.3, "recovered": False},
    ]
    figures = benchmark.figures_of(missions, 5, kills)
    values = {name: figure.value for name, figure in figures.items()}
    assert (values["graph_success"], values["graph_partial"], values["graph_collisions"]) == (0.5, 0.75, 1)
    assert (values["loop_miss_rate"], values["nodes_alive"]) == (0.01, 5)
    assert (values["stop_s_max"], values["brakes_s_max"], values["recovered"]) == (0.5, 0.2, 1)
    assert figures["graph_success"].lo < 0.5 < figures["graph_success"].hi
    never = [{"node": "safety_gate_node", "brakes_s": None, "stop_s": None, "recovered": True}]
    assert "stop_s_max" not in benchmark.figures_of([], 0, never)  # one that never stood has no longest time
