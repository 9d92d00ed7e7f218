"""The benchmark runs and gives every figure; how fast is for the benchmark itself to say."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sb3_contrib")

from rarrl import build
from rarrl.orchestrator.rules import make_rule
from rarrl_learning.orchestrator import benchmark


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_environment", partial(benchmark._environment, rounds=1))
    monkeypatch.setattr(benchmark, "_decide", partial(benchmark._decide, decisions=50))
    monkeypatch.setattr(benchmark, "_import", partial(benchmark._import, rounds=1))
    monkeypatch.setattr(build, "load_policy", lambda name, fitted: make_rule("always"))
    monkeypatch.setattr(benchmark, "N_ENVS", 64)


def test_the_quick_parts() -> None:
    speedup, table = benchmark._environment(0)
    assert speedup.value > 1.0 and speedup.n == 1 and speedup.lo <= speedup.value <= speedup.hi  # type: ignore[operator]
    assert table["vector_steps_per_s"] > table["dummy_steps_per_s"] > 0
    p99, table = benchmark._decide(0)
    assert p99.unit == "ms" and 0 < table["decide_p50_ms"] <= p99.value <= table["decide_max_ms"] + 1e-3
    seconds = benchmark._import()
    assert seconds.unit.startswith("s") and 0 < seconds.value < 30


@pytest.mark.slow
def test_all_figures(tmp_path: Path) -> None:
    said: list[Any] = []
    results = benchmark.bench_orchestrator(
        json_path=tmp_path / "b.json", dummy_steps=64, our_steps=4096, progress=lambda what, share: said.append(share)
    )
    assert json.loads((tmp_path / "b.json").read_text()) == results
    names = {"env_speedup_vs_dummy", "ppo_speedup_vs_dummy", "decide_p99_ms", "import_s"}
    assert names | {"ppo_return_ours", "ppo_return_dummy"} <= set(results["figures"])
    assert all(results["figures"][name]["value"] > 0 for name in names)
    assert said == sorted(said) and said[-1] == 1.0
