"""Calls that cost other than recorded: the same luck with and without following them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from rarrl.alfred import load_statistics, sample_plans
from rarrl.orchestrator.rules import make_rule
from rarrl_learning.orchestrator import cost_shift
from rarrl_learning.orchestrator.busy_cores import BusyCores, cores_at_work
from rarrl_learning.orchestrator.cost_shift import NO_SHIFT, X4, Shift, World, bench_costs
from rarrl_learning.orchestrator.scenarios import CONDITIONS
from rarrl_sim_envs.alfred.core import EpisodeBank
from rarrl_sim_envs.alfred.datasets import load_tables

PLANS = list(sample_plans(load_statistics(), 60, 0))
ALWAYS = make_rule("always", recipe="P1V1")


@pytest.fixture(scope="module")
def world():
    tables = tuple(load_tables(["groq-70b", "anyscale-70b"]))
    return World(EpisodeBank.from_plans(PLANS), tables, CONDITIONS["binding"], 40, 0)


def test_without_calls_nothing_differs(world):
    static, online = (world.play(make_rule("never"), Shift((4.0,)), follows, True) for follows in (False, True))
    assert (static["success"] == online["success"]).all()
    assert online["calls"].sum() == 0.0


def test_only_the_second_half_of_a_run_is_slower(world):
    plain, slow = (world.play(ALWAYS, shift, False, False) for shift in (Shift(), Shift((4.0,))))
    half = cost_shift.TASKS // 2
    assert np.array_equal(plain["seconds"][:half], slow["seconds"][:half])
    assert (slow["misses"][half:].mean()) > 2.0 * plain["misses"][half:].mean()


def test_who_follows_the_costs_overruns_less_after_a_shift_and_succeeds_more(world):
    static, online = (world.play(ALWAYS, Shift((4.0,)), follows, True) for follows in (False, True))
    late = slice(cost_shift.TASKS // 2, None)
    assert online["misses"][late].mean() < 0.6 * static["misses"][late].mean()
    assert online["success"][late].mean() > static["success"][late].mean() + 0.1


def test_a_shift_within_a_task_is_over_with_the_next_one(world):
    plain, slow = (world.play(ALWAYS, shift, False, False) for shift in (Shift(), Shift((4.0,), within=True)))
    assert (slow["seconds"] >= plain["seconds"] - 1e-9).mean() > 0.9
    first = world.play(make_rule("start"), Shift((4.0,), within=True), False, False)
    same = world.play(make_rule("start"), Shift(), False, False)
    assert np.array_equal(first["seconds"], same["seconds"]), "the first call comes before half of the task"


def test_the_document_holds_every_comparison(tmp_path, monkeypatch):
    monkeypatch.setattr(cost_shift, "RULES", {"latencies": ("always",), "recorded": ("confidence",)})
    monkeypatch.setattr(cost_shift, "SHIFTS", {name: cost_shift.SHIFTS[name] for name in (X4, NO_SHIFT)})
    file = tmp_path / "costs.json"
    results = bench_costs(PLANS, busy=[1.5, 3.0], robots=12, json_path=file)
    assert json.loads(file.read_text())["figures"].keys() == results["figures"].keys()
    rows = results["tables"]["comparison"]
    assert len(rows) == 2 * 3 * (2 + 1)
    x4 = next(r for r in rows if r["policy"] == "always" and r["shift"] == X4)
    assert x4["online_overruns"] < x4["static_overruns"]
    figure = results["figures"]["cost_shift_gain"]
    assert figure["lo"] <= figure["value"] <= figure["hi"]


def test_busy_factors_are_over_the_median_of_idle_calls():
    measured = BusyCores(np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.4, 0.8]), 2)
    assert np.allclose(measured.factors, [1.0, 2.0, 4.0])
    assert measured.table()["factor_p50"] == 2.0


def test_programs_at_work_end_with_the_block_and_with_the_process_that_began_them():
    with cores_at_work(1) as workers:
        (worker,) = workers
        assert worker.is_alive()
    assert not worker.is_alive()

    code = "from rarrl_learning.orchestrator.busy_cores import _spin; _spin(-1)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # its parent is another: it ends at once
