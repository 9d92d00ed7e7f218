"""Figures and tables of household missions: paired over seeds, 95 % intervals by bootstrap over missions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rarrl.report.runs import wilson
from rarrl.results import Figure

from .evaluate import Row, Setting

DRAWS = 4000  # of the bootstrap
Played = dict[Setting, list[Row]]


def mission_figures(
    played: Sequence[tuple[Setting, Row]], base: Setting
) -> tuple[dict[str, Figure], list[dict[str, Any]]]:
    """Figures, and a table row per setting, of what `run_missions` returned.

    base: the setting that ablations differ from in one thing; its policy is the product's."""
    by: Played = {}
    for setting, row in played:
        by.setdefault(setting, []).append(row)
    figures: dict[str, Figure] = {}
    arms = {s.policy: rows for s, rows in by.items() if replace(s, policy=base.policy) == base}
    for name, rows in arms.items():
        figures |= _of_arm(name, rows)
    if "always" in arms and base.policy in arms:
        figures |= _against(arms[base.policy], arms["always"])
    if base.policy in arms:
        figures |= _against_rules(arms, base.policy)
    figures |= _safety(by, [row for rows in arms.values() for row in rows])
    for setting, rows in by.items():
        figures |= _ablation(setting, rows, base, by)
    return figures, [_row(setting, rows, base) for setting, rows in by.items()]


def _of_arm(name: str, rows: Sequence[Row]) -> dict[str, Figure]:
    n = len(rows)
    name = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")  # a rule may have parameters
    lo, hi = wilson(sum(row.result.success for row in rows), n)
    success = Figure(_mean(rows, _success), "share of missions done", n, round(lo, 4), round(hi, 4))

    return {
        f"success_{name}": success,
        f"share_{name}": _figure(rows, lambda r: r.result.share, "of the goal conditions met"),
        f"mission_s_{name}": _figure(rows, lambda r: r.result.mission_s, "s simulated, thinking included, mean"),
        f"llm_s_{name}": _figure(rows, lambda r: r.result.llm_s, "s of the language model in a mission, mean"),
        f"tokens_{name}": _figure(rows, lambda r: r.result.tokens, "tokens in a mission, mean"),
    }


def _against(ours: Sequence[Row], always: Sequence[Row]) -> dict[str, Figure]:
    def saved(key: Callable[[Row], float]) -> Callable[[np.ndarray], float]:
        a, b = (np.array([key(row) for row in rows]) for rows in (ours, always))
        return lambda chosen: 1 - float(a[chosen].mean() / max(b[chosen].mean(), 1e-9))

    def difference(key: Callable[[Row], float], scale: float = 1.0) -> Callable[[np.ndarray], float]:
        d = np.array([scale * (key(b) - key(a)) for a, b in zip(ours, always, strict=True)])
        return _mean_of(d)

    n = len(ours)
    both = [i for i, (a, b) in enumerate(zip(ours, always, strict=True)) if a.result.success and b.result.success]
    figures = {
        "llm_seconds_saved_vs_always": _bootstrap(saved(lambda r: r.result.llm_s), n, "fraction"),
        "tokens_saved_vs_always": _bootstrap(saved(lambda r: r.result.tokens), n, "fraction"),
        "success_lost_vs_always": _bootstrap(difference(_success, 100.0), n, "points"),
        "mission_s_saved_vs_always": _bootstrap(difference(lambda r: r.result.mission_s), n, "s, mean over missions"),
    }
    if both:
        d = np.array([always[i].result.mission_s - ours[i].result.mission_s for i in both])
        figures["mission_s_saved_where_both_succeed"] = _bootstrap(
            _mean_of(d), len(both), "s, mean over missions that both did"
        )

    return figures


def _against_rules(arms: dict[str, list[Row]], name: str) -> dict[str, Figure]:
    """Against the rule with most success among those that use no more LLM seconds, and among all."""
    ours = arms[name]
    rules = {rule: rows for rule, rows in arms.items() if rule not in ("never", name)}

    figures = {}
    seconds = _mean(ours, lambda r: r.result.llm_s)
    for figure, allowed in (
        ("gain_over_best_rule", {k: v for k, v in rules.items() if _mean(v, lambda r: r.result.llm_s) <= seconds}),
        ("gain_over_best_rule_at_any_cost", rules),
    ):
        if not allowed:
            continue
        best = max(allowed, key=lambda rule: _mean(allowed[rule], _success))
        d = np.array([100.0 * (_success(a) - _success(b)) for a, b in zip(ours, allowed[best], strict=True)])
        figures[figure] = _bootstrap(_mean_of(d), len(d), f"points, over {best}")

    return figures


def _safety(by: Played, gated: list[Row]) -> dict[str, Figure]:
    """gated: the missions of the arms, whose times count."""
    figures = {}
    for name, without in (("collisions_with_gate", False), ("collisions_without_gate", True)):
        rows = [row for setting, found in by.items() if (setting.eyes == "none") == without for row in found]
        if rows:
            touched = sum(row.result.collisions > 0 for row in rows)
            lo, hi = wilson(touched, len(rows))
            figures[name] = Figure(sum(row.result.collisions for row in rows), "contacts in all missions", len(rows))
            share = Figure(touched / len(rows), "share of missions", len(rows), round(lo, 4), round(hi, 4))
            figures[f"{name}_share"] = share

    if gated:
        clear = [row.least_clear_m for row in gated if row.least_clear_m >= 0]
        figures["least_clear_m"] = Figure(round(min(clear), 3), "m, least of all missions, while moving", len(clear))
        figures["loop_miss_rate"] = _figure(gated, lambda r: r.late, "share of steps that took longer than 0.1 s")
        figures["step_ms"] = _figure(gated, lambda r: r.step_ms, "ms of a 0.1 s step on the clock, mean")
        mean_ms = _mean(gated, lambda r: r.step_ms)
        figures["real_time_factor"] = Figure(round(100.0 / mean_ms, 2), "simulated s per s of the steps' computing")

    return figures


def _ablation(setting: Setting, rows: list[Row], base: Setting, by: Played) -> dict[str, Figure]:
    """What one change costs, in points of success, on the missions that both played."""
    changed = [name for name in ("eyes", "gguf", "latency") if getattr(setting, name) != getattr(base, name)]
    reference = by.get(base, [])
    if changed not in (["eyes"], ["gguf"]) or setting.policy != base.policy or len(reference) < len(rows):
        return {}

    known = {row.result.seed: row for row in reference}
    d = np.array([100.0 * (_success(known[row.result.seed]) - _success(row)) for row in rows])
    if changed == ["gguf"]:
        figure = _bootstrap(_mean_of(-d), len(d), "points below the F16 transformer")
        return {"quantized_loss": figure}

    value = "without_gate" if setting.eyes == "none" else setting.eyes
    return {f"loss_{value}": _bootstrap(_mean_of(d), len(d), "points of success")}


def _row(setting: Setting, rows: Sequence[Row], base: Setting) -> dict[str, Any]:
    failures: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for row in rows:
        failures.update(row.failures)
        calls.update(row.calls)
    return {
        "policy": setting.policy,
        "eyes": setting.eyes,
        "transformer": setting.gguf,
        "latency": setting.latency or "measured",
        "missions": len(rows),
        "success": round(_mean(rows, _success), 4),
        "conditions met": round(_mean(rows, lambda r: r.result.share), 4),
        "mission s": round(_mean(rows, lambda r: r.result.mission_s), 1),
        "LLM s": round(_mean(rows, lambda r: r.result.llm_s), 3),
        "tokens": round(_mean(rows, lambda r: r.result.tokens)),
        "calls": dict(calls),
        "attempts": round(_mean(rows, lambda r: r.attempts), 1),
        "failures": dict(failures.most_common(6)),
        "ends": dict(Counter(row.result.end_reason for row in rows)),
        "collisions": sum(row.result.collisions for row in rows),
        "gate stops": round(_mean(rows, lambda r: r.result.gate_stops), 2),
    }


def _success(row: Row) -> float:
    return float(row.result.success)


def _mean(rows: Sequence[Row], key: Callable[[Row], float]) -> float:
    return float(np.mean([key(row) for row in rows]))


def _figure(rows: Sequence[Row], key: Callable[[Row], float], unit: str) -> Figure:
    values = np.array([key(row) for row in rows])
    return _bootstrap(_mean_of(values), len(values), unit)


def _mean_of(values: np.ndarray) -> Callable[[np.ndarray], float]:
    """The statistic of a bootstrap: the mean of the values that were drawn."""
    return lambda chosen: float(values[chosen].mean())


def _bootstrap(statistic: Callable[[np.ndarray], float], n: int, unit: str) -> Figure:
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.integers(n, size=n)) for _ in range(DRAWS)]
    lo, hi = np.quantile(drawn, [0.025, 0.975])
    return Figure(round(statistic(np.arange(n)), 5), unit, n, round(float(lo), 5), round(float(hi), 5))
