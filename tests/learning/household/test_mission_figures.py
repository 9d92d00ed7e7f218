from dataclasses import replace

import pytest

from rarrl_learning.household.evaluate import Row, Setting
from rarrl_learning.household.mission_figures import mission_figures
from rarrl_learning.household.trace_recorder import MissionResult

BASE = Setting()


def row(policy, seed, success, llm_s=1.0, collisions=0, mission_s=60.0):
    result = MissionResult(
        policy,
        seed,
        "Put a mug on the shelf.",
        success,
        float(success),
        mission_s,
        llm_s,
        100 * llm_s,
        1,
        collisions,
        2,
        "done",
    )
    return Row(result, 5, {"slipped": 1}, {"planner 1": 1}, 600, 0.1, 0.0, 25.0)


def played(policy, wins, **changes):
    setting = replace(BASE, policy=policy, **changes)
    return [(setting, row(policy, seed, seed < wins)) for seed in range(20)]


def test_the_figures_of_the_issue_by_hand():
    learned = [(BASE, row("learned", s, s < 18, llm_s=0.2, mission_s=50.0)) for s in range(20)]
    always = [(replace(BASE, policy="always"), row("always", s, s < 19, llm_s=2.0)) for s in range(20)]
    never = [(replace(BASE, policy="never"), row("never", s, s < 8, llm_s=0.0)) for s in range(20)]
    start = [(replace(BASE, policy="start"), row("start", s, s < 16, llm_s=0.2)) for s in range(20)]
    figures, rows = mission_figures([*learned, *always, *never, *start], BASE)
    assert figures["success_learned"].value == 0.9 and figures["success_never"].value == 0.4
    assert figures["llm_seconds_saved_vs_always"].value == pytest.approx(0.9)
    lost = figures["success_lost_vs_always"]
    assert lost.value == pytest.approx(5.0) and lost.lo <= 5.0 <= lost.hi
    assert figures["mission_s_saved_vs_always"].value == pytest.approx(10.0)
    gain = figures["gain_over_best_rule"]  # always costs more, so the best rule is start
    assert gain.value == pytest.approx(10.0) and "start" in gain.unit
    assert figures["gain_over_best_rule_at_any_cost"].value == pytest.approx(-5.0)
    assert figures["real_time_factor"].value == 4.0
    assert [r["policy"] for r in rows] == ["learned", "always", "never", "start"]


def test_a_collision_behind_the_gate_counts_whatever_the_policy():
    with_gate = [(BASE, row("learned", 0, True)), (replace(BASE, policy="never"), row("never", 0, True, collisions=1))]
    without = [(replace(BASE, eyes="none"), row("learned", 0, True, collisions=3))]
    figures, _ = mission_figures([*with_gate, *without], BASE)
    assert figures["collisions_with_gate"].value == 1 and figures["collisions_with_gate"].n == 2
    assert figures["collisions_without_gate"].value == 3
    assert figures["collisions_with_gate_share"].hi is not None and figures["collisions_with_gate_share"].hi > 0.5


def test_ablations_are_paired_with_the_missions_that_both_played():
    runs = [*played("learned", 18), *played("learned", 12, eyes="sgbm")[:10], *played("learned", 19, gguf="model.gguf")]
    figures, _ = mission_figures(runs, BASE)
    assert figures["loss_sgbm"].n == 10 and figures["loss_sgbm"].value == 0.0  # the same ten were done by both
    assert figures["quantized_loss"].value == pytest.approx(5.0)
