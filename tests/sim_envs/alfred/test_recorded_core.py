"""The world on recorded answers: known answers by hand; what a robot sees never tells whether its plan is right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from typer.testing import CliRunner

from rarrl.alfred import SubgoalType as T
from rarrl.cli import app
from rarrl.errors import InputError
from rarrl.latency.profile import CallRecord, LatencyProfile, ProfileHeader, TaskRecord, load_profile, save_profile
from rarrl.orchestrator.features import ALL_FEATURE_NAMES, N_FEATURES, PLAN_FEATURE_NAMES, encode
from rarrl.orchestrator.learned import LearnedPolicy, load_learned, save_policy
from rarrl.orchestrator.rules import grid, make_rule, recorded_families
from rarrl_learning.orchestrator import train_alfred, tune
from rarrl_learning.orchestrator.evaluate import PRICES
from rarrl_learning.orchestrator.evaluate_recorded import PlanOracle, eval_recorded
from rarrl_learning.orchestrator.rollout import rollout
from rarrl_learning.orchestrator.train import TrainConfig
from rarrl_sim_envs.alfred.core import Dynamics, EpisodeParams
from rarrl_sim_envs.alfred.recorded_core import ATTEMPTS, NEVER, RecordedCore, Recordings

ACT, P1, P2, V1, V2 = range(5)
SURE = Dynamics(base_failure=(0.0,) * 8)  # an attempt at a right step always succeeds
EXPERT = (("PickupObject", "mug"), ("HeatObject", "mug"), ("PutObject", "mug", "shelf"))
CUP = (("PickupObject", "cup"), ("HeatObject", "cup"), ("PutObject", "cup", "shelf"))
COLD = (("PickupObject", "mug"), ("PutObject", "mug", "shelf"))
SHORT = EXPERT[:2]
LONG = (*EXPERT, ("PickupObject", "mug"))
PLANS = (EXPERT, CUP, COLD, SHORT, LONG)
STEPS = ((T.GotoLocation, 9), (T.PickupObject, 1), (T.GotoLocation, 3), (T.HeatObject, 1), (T.PutObject, 1))
HEADER = ProfileHeader(
    name="small",
    kind="recorded",
    measured="by hand",
    model="none",
    hardware="none",
    date="2026",
    source="a test",
    licence="none",
)


def profile(*rows: tuple[int, int, int], **changes: Any) -> LatencyProfile:
    """A task per row of (default plan, planner 1's, planner 2's); the verifier is right at level 2 and says ok at 1."""
    tasks, records = [], []
    for number, row in enumerate(rows):
        tasks.append(
            TaskRecord(
                trial=f"trial_{number // 2}",
                annotation=number % 2,
                task_type="pick_heat_then_place_in_recep",
                steps=tuple((int(kind), n) for kind, n in STEPS),
                expert=0,
                default=row[0],
                similarity=0.5,
                default_correct=row[0] == 0,
                words=9,
                unknown=2,
            )
        )
        common = {"task": number, "tokens_in": 10, "tokens_out": 5, "ttft_s": 0.0, "finish": "stop"}
        for level in (1, 2):
            plan = row[level]
            answer = {
                "plan": plan,
                "correct": plan == 0,
                "confidence": -0.1 * plan,
                "total_s": 0.1 * level + number % 2,
            }
            records.append(CallRecord(role="planner", level=level, **{**common, **answer}))
        for plan in dict.fromkeys(row):
            for level in (1, 2):
                ok = plan == 0 or level == 1
                answer = {"plan": plan, "correct": ok == (plan == 0), "verdict": ok, "total_s": 0.01 * (plan + level)}
                records.append(CallRecord(role="verifier", level=level, p_ok=0.75 if ok else 0.125, **common | answer))
    values = {"tasks": tuple(tasks), "plans": PLANS, "records": tuple(records), **changes}
    return LatencyProfile(schema_version=2, header=HEADER, **values)


def core(*rows: tuple[int, int, int], dynamics: Dynamics = SURE, n: int | None = None, **changes: Any) -> RecordedCore:
    """One robot per row, in that task; or `n` robots in the first."""
    world = RecordedCore(Recordings.from_profile(profile(*rows)), n or len(rows), dynamics)
    m = world.n
    values: dict[str, Any] = {
        "row": np.arange(m) if n is None else np.zeros(m, np.int64),
        "seed": np.arange(m, dtype=np.uint64) + np.uint64(7),
        "table": np.zeros(m, np.int64),
        "time_s": np.full(m, 1e3),
        "tokens": np.full(m, 1e6),
        "cost_weight": np.zeros(m),
        "latency_scale": np.ones(m),
        "jitter": np.zeros(m),
        "shock_at": np.full(m, -1),
    }
    world.begin(np.arange(m), EpisodeParams(**{**values, **changes}))
    return world


def step(world: RecordedCore, action: int) -> Any:
    return world.step(np.full(world.n, action))


def to_end(world: RecordedCore) -> tuple[np.ndarray, np.ndarray, int]:
    """ACT until all is over: success, lost, attempts of the slowest."""
    success, lost, acts = np.zeros(world.n, bool), np.zeros(world.n, bool), 0
    while world.alive.any():
        r = step(world, ACT)
        success |= r.success
        lost |= r.act_status == 2
        acts += 1
    return success, lost, acts


def test_a_recording_as_arrays_by_hand() -> None:
    r = Recordings.from_profile(profile((1, 0, 2), (3, 4, 0)))
    assert r.plan_id.tolist() == [[1, 0, 2], [3, 4, 0]]
    assert r.wrong_at.tolist() == [[0, NEVER, 1], [2, 3, NEVER]]
    assert r.ends.tolist() == [[False, False, False], [True, True, False]]
    assert r.length.tolist() == [[3, 3, 2], [2, 4, 3]]
    assert r.step[0, :6].tolist() == [0, 0, 0, 1, 1, 2]  # two pieces of the first approach; none before the last step
    assert r.closes[0, :6].tolist() == [False, False, True, False, True, True]
    assert r.kinds[0, 2, :3].tolist() == [T.PickupObject, T.PutObject, T.PutObject]
    assert r.remaining[0, 0, 0].tolist() == [2, 0, 1, 0, 0, 0, 1, 0]
    assert r.trial.tolist() == [0, 0]
    assert r.seconds[1, :, P1 - 1].tolist() == [1.1] * 3 and r.seconds[0, 1, V2 - 1] == pytest.approx(0.02)
    assert r.verdict[0].tolist() == [[1, -1], [1, 1], [1, -1]]
    assert r.confidence[0] == pytest.approx([0.5, 1.0, np.exp(-0.2)])


@pytest.mark.parametrize(("default", "succeeds"), [(0, True), (1, False), (2, False), (3, False), (4, False)])
def test_only_a_right_plan_succeeds(default: int, succeeds: bool) -> None:
    success, lost, acts = to_end(core((default, 0, 0)))
    assert success.tolist() == [succeeds]
    if default in (3, 4):  # wrong by their length: lost when the last right step is done, without a failure before
        assert lost.all() and acts == (5 if default == 3 else 6)


def test_a_wrong_step_always_fails_and_is_lost_with_the_share_of_its_own_type() -> None:
    world = core((2, 0, 0), n=4000)  # heats nothing: its second step is a PutObject
    for _ in range(4):
        assert (step(world, ACT).act_status == 0).all(), "the approach and the first step go well"
    r = step(world, ACT)
    share = Dynamics().irreversible[T.PutObject]
    assert set(np.unique(r.act_status)) == {1, 2} and (r.act_status == 2).mean() == pytest.approx(share, abs=0.03)
    cup = core((1, 0, 0), dynamics=Dynamics(base_failure=(0.0,) * 8, irreversible=(0.0,) * 8))
    success, lost, acts = to_end(cup)
    assert not success.any() and not lost.any() and acts == ATTEMPTS, "it gives up"


@pytest.mark.parametrize("planner", [P1, P2])
def test_a_planner_replaces_the_plan_by_its_own(planner: int) -> None:
    right = (1, 0, 2) if planner == P1 else (1, 2, 0)
    world = core(right)
    r = step(world, planner)
    assert r.call_ok.all() and r.seconds[0] == pytest.approx(0.1 * planner)
    assert to_end(world)[0].all()
    worse = core((0, 2, 2))
    step(worse, planner)
    assert not to_end(worse)[0].any(), "a right plan is replaced by a wrong one, too"


def test_a_late_plan_saves_what_is_not_lost() -> None:
    world = core((2, 0, 0))
    for _ in range(4):
        step(world, ACT)
    step(world, P1)
    assert to_end(world)[0].all()


def test_a_plan_that_goes_wrong_before_what_was_done_leads_nowhere() -> None:
    world = core((0, 1, 0))
    for _ in range(3):
        step(world, ACT)  # the mug is in hand
    step(world, P1)  # the plan says cup
    assert world.situation().plan.contradicted.all()  # type: ignore[union-attr]
    step(world, ACT)
    assert (step(world, ACT).act_status > 0).all()


def test_a_plan_that_is_over_before_the_task_loses_it() -> None:
    world = core((0, 3, 0))
    for _ in range(5):
        step(world, ACT)
    step(world, P1)  # ends where the robot is
    s = world.situation()
    assert (s.subgoal_index == s.subgoal_count).all() and s.remaining.sum() == 0
    assert (step(world, ACT).act_status == 2).all()


def test_a_verdict_is_of_the_plan_in_force_and_changes_nothing_else() -> None:
    world = core((1, 0, 1))
    before = world.failure_probabilities()
    r = step(world, V2)
    assert r.seconds[0] == pytest.approx(0.03)
    plan = world.situation().plan
    assert plan is not None and (plan.verdict[0], plan.verdict_level[0], plan.p_ok[0]) == (-1.0, 2.0, 0.125)
    assert np.array_equal(before, world.failure_probabilities())
    step(world, P2)  # the same plan again: the verdict holds
    assert world.situation().plan.verdict[0] == -1.0  # type: ignore[union-attr]
    step(world, ACT)
    step(world, P1)  # another plan: it does not
    plan = world.situation().plan
    assert plan is not None and (plan.verdict[0], plan.verdict_level[0], plan.p_ok[0]) == (0.0, 0.0, 0.5)
    step(world, V1)
    assert world.situation().plan.verdict[0] == 1.0  # type: ignore[union-attr]


def test_a_call_without_an_answer_costs_and_changes_nothing() -> None:
    whole = profile((1, 0, 0))
    records = [
        r.model_copy(update={"finish": "length", "plan": None, "correct": None})
        if (r.role, r.level) == ("planner", 1)
        else r
        for r in whole.records or ()
    ]
    world = RecordedCore(Recordings.from_profile(profile((1, 0, 0), records=tuple(records))), 1, SURE)
    world.begin(np.zeros(1, np.int64), _params())
    r = step(world, P1)
    assert not r.call_ok[0] and r.seconds[0] == pytest.approx(0.1) and world.source[0] == 0
    plan = world.situation().plan
    assert plan is not None and not plan.answered.any() and plan.agreeing[0] == 0


def _params() -> EpisodeParams:
    one = {"time_s": 1e3, "tokens": 1e6, "cost_weight": 0.0, "latency_scale": 1.0, "jitter": 0.0}
    return EpisodeParams(
        row=np.zeros(1, np.int64),
        seed=np.zeros(1, np.uint64),
        table=np.zeros(1, np.int64),
        shock_at=np.full(1, -1),
        **{name: np.full(1, value) for name, value in one.items()},
    )


def test_what_is_known_of_plans_by_hand() -> None:
    world = core((1, 0, 1))
    plan = world.situation().plan
    assert plan is not None
    assert (plan.source[0], plan.confidence[0], plan.words[0], plan.unknown[0]) == (0, 0.5, 9.0, 2.0)
    step(world, P2)
    plan = world.situation().plan
    assert plan is not None and plan.agreeing[0] == 1.0, "the default plan says the same"
    assert plan.answered[:, 0].tolist() == [False, True] and plan.confidence[0] == pytest.approx(np.exp(-0.1))
    step(world, P1)
    plan = world.situation().plan
    assert plan is not None and plan.agreeing[0] == 0.0 and plan.source[0] == 1
    x = dict(zip(ALL_FEATURE_NAMES, encode(world.situation())[0], strict=True))
    assert (x["plan.PLANNER_1"], x["plan.default"], x["answered.PLANNER_2"], x["plans_agree"]) == (1, 0, 1, 0)
    assert x["plan_doubt"] == pytest.approx(-1.0) and x["goal_words"] == pytest.approx(0.45)


def test_a_robot_that_knows_the_same_sees_the_same_whether_its_plan_is_right_or_not() -> None:
    """Twins: the same plans and verdicts, but another expert. Until an attempt tells, all they see is equal."""
    right, wrong = profile((0, 0, 0)), profile((0, 0, 0))
    assert wrong.tasks is not None
    other = [task.model_copy(update={"expert": 2, "default_correct": False}) for task in wrong.tasks]
    records = [
        r.model_copy(update={"correct": None if r.correct is None else not r.correct}) for r in wrong.records or ()
    ]
    wrong = profile((0, 0, 0), tasks=tuple(other), records=tuple(records))
    worlds = []
    for one in (right, wrong):
        world = RecordedCore(Recordings.from_profile(one), 1, SURE)
        world.begin(np.zeros(1, np.int64), _params())
        worlds.append(world)
    for action in (ACT, ACT, V1, P1, V2, P2, ACT, ACT):
        seen = [encode(world.situation()) for world in worlds]
        assert np.array_equal(*seen)
        for world in worlds:
            step(world, action)
    outcomes = [int(step(world, ACT).act_status[0]) for world in worlds]
    assert outcomes[0] == 0
    assert not np.array_equal(*[encode(world.situation()) for world in worlds])


def test_the_same_seed_is_the_same_episode_and_luck_is_shared() -> None:
    worlds = [core((0, 0, 0), dynamics=Dynamics(), n=500) for _ in range(3)]
    step(worlds[2], P1)  # a useless call: the luck of the attempts stays
    results = [to_end(world)[0] for world in worlds]
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


def test_rules_play_and_the_oracle_is_best() -> None:
    rows = [(1, 0, 0), (2, 3, 0), (0, 1, 1), (3, 4, 2)] * 200
    recordings = Recordings.from_profile(profile(*rows))
    world = RecordedCore(recordings, len(rows), SURE)
    world.begin(np.arange(len(rows)), _everyone(len(rows)))
    params = _everyone(len(rows))
    scores = {}
    for family in recorded_families():
        scores[family] = rollout(world, params, make_rule(family)).success.mean()
    scores["oracle"] = rollout(world, params, PlanOracle()).success.mean()
    assert scores["never"] == 0.25 and scores["oracle"] == 0.75
    assert max(scores.values()) == scores["oracle"]
    asks = make_rule("confidence", default=2.0, theta=2.0, verify=2, first=1, failures=9)
    e = rollout(world, params, asks)
    assert e.success.mean() == 0.75, "the right verdicts of level 2 find every right plan"
    assert e.calls.max() <= 5.0, "a verdict each on three plans, two plans"


def _everyone(n: int) -> EpisodeParams:
    return EpisodeParams(
        row=np.arange(n),
        seed=np.arange(n, dtype=np.uint64),
        table=np.zeros(n, np.int64),
        time_s=np.full(n, 1e6),
        tokens=np.full(n, 1e6),
        cost_weight=np.zeros(n),
        latency_scale=np.ones(n),
        jitter=np.zeros(n),
        shock_at=np.full(n, -1),
    )


def test_a_profile_without_answers_or_with_half_of_them_is_refused() -> None:
    with pytest.raises(InputError, match="its answers are not recorded"):
        Recordings.from_profile(load_profile("groq-70b"))
    whole = profile((1, 0, 0), (0, 0, 0))
    half = [r for r in whole.records or () if r.task == 0 or r.role == "planner"]
    with pytest.raises(InputError, match="a task lacks the answer of a role or level"):
        Recordings.from_profile(profile((1, 0, 0), (0, 0, 0), records=tuple(half)))
    with pytest.raises(InputError, match="no task of the categories Inspection"):
        Recordings.from_profile(whole, ("Inspection",))


def test_gymnasium_accepts_it(tmp_path: Any) -> None:
    save_profile(profile((1, 0, 2), (0, 1, 0)), tmp_path / "small.json")
    env = gymnasium.make("rarrl_sim_envs:rarrl/AlfredReplay-v0", profile=str(tmp_path / "small.json"))
    check_env(env.unwrapped, skip_render_check=True)
    assert env.observation_space.shape == (len(ALL_FEATURE_NAMES),)
    plain = gymnasium.make("rarrl_sim_envs:rarrl/AlfredReplay-v0")
    assert plain.observation_space.shape == (N_FEATURES,)
    with pytest.raises(InputError, match="leave alfred away"):
        gymnasium.make("rarrl_sim_envs:rarrl/AlfredReplay-v0", profile=str(tmp_path / "small.json"), alfred="x")
    many = gymnasium.make_vec("rarrl_sim_envs:rarrl/AlfredReplay-v0", 8, profile=str(tmp_path / "small.json"))
    many.reset(seed=0)
    for _ in range(60):
        observation, *_ = many.step(many.action_space.sample())
    assert observation.shape == (8, len(ALL_FEATURE_NAMES)) and np.isfinite(observation).all()


@pytest.mark.slow
def test_train_tune_and_evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole chain on a toy recording, as the commands run it; what each part writes, the next one reads."""
    pytest.importorskip("sb3_contrib")
    file = str(tmp_path / "small.json")
    save_profile(profile(*[(1, 0, 0), (2, 3, 0), (0, 1, 1), (3, 4, 2)] * 4), Path(file))
    monkeypatch.setattr(train_alfred, "N_ENVS", 32)
    config = TrainConfig(steps=1024, n_steps=16, batch_size=256, epochs=1, layers=(8, 8))
    policy = train_alfred.train_on_recordings(config, tmp_path / "training", file)
    assert policy.weights[0].shape == (8, len(ALL_FEATURE_NAMES)) and policy.value_weights
    save_policy(policy, tmp_path, {}, "recorded.safetensors")
    assert load_learned(tmp_path / "recorded.safetensors").hidden.shape == (len(ALL_FEATURE_NAMES),)
    blind = train_alfred.train_on_recordings(replace(config, variant="no_plan"), tmp_path / "blind", file)
    assert blind.hidden.tolist() == [name in PLAN_FEATURE_NAMES for name in ALL_FEATURE_NAMES]
    save_policy(blind, tmp_path, {}, "recorded_no_plan_seed0.safetensors")
    monkeypatch.setattr(tune, "grid", lambda family: grid(family)[:2])
    rules = tune.tune_on_recordings(file, 500, 0, tmp_path / "rules.json", "rarrl tune rules")
    assert set(rules["conditions"]) == {"unbound", "binding"}
    assert set(rules["conditions"]["binding"]) == set(recorded_families())
    results = eval_recorded(
        file,
        training_profile=file,
        replicas=4,
        models=tmp_path,
        rules_file=tmp_path / "rules.json",
        json_path=tmp_path / "results.json",
    )
    figures, tables = results["figures"], results["tables"]
    rows = tables["unbound"]["rules"]
    assert rows["never"]["llm_seconds"] == 0.0 and rows["always"]["llm_seconds"] > rows["start"]["llm_seconds"] > 0.0
    assert rows["oracle"]["success"] >= max(row["success"] for row in rows.values())
    at_price = tables["unbound"]["learned_by_price"][PRICES.index(tables["setup"]["price"])]
    saved = 1.0 - at_price["llm_seconds"] / rows["always"]["llm_seconds"]
    assert figures["llm_seconds_saved_vs_always"]["value"] == pytest.approx(saved, abs=0.01)
    lost = 100.0 * (rows["always"]["success"] - at_price["success"])
    assert figures["success_lost_vs_always"]["value"] == pytest.approx(lost, abs=0.02)
    best = tables["setup"]["best_rule"]
    assert figures["gain_over_best_rule"]["value"] == pytest.approx(
        tables["binding"]["rules"][best]["gain_points"], abs=0.01
    )
    assert tables["answers"]["default plan"]["right"] == 0.25 and tables["setup"]["tasks"] == 16
    assert "no_plan" in tables["ablations"] and json.loads((tmp_path / "results.json").read_text()) == results


def test_a_policy_for_recorded_answers_is_refused_where_there_are_none() -> None:
    width = len(ALL_FEATURE_NAMES)
    policy = LearnedPolicy(
        "wide", (np.zeros((5, width), np.float32),), (np.zeros(5, np.float32),), np.zeros(width, bool), np.ones(5, bool)
    )
    with pytest.raises(InputError, match=f"needs {width} features, here are {N_FEATURES}"):
        policy.logits(np.zeros((1, N_FEATURES), np.float32))
    old = LearnedPolicy(
        "old",
        (np.eye(5, N_FEATURES, dtype=np.float32),),
        (np.zeros(5, np.float32),),
        np.zeros(N_FEATURES, bool),
        np.ones(5, bool),
    )
    x = np.arange(width, dtype=np.float32)[None]
    assert old.logits(x)[0].tolist() == [0, 1, 2, 3, 4], "an older policy reads its own features"


def test_the_commands_refuse_a_profile_without_answers(tmp_path: Path) -> None:
    for arguments, message in (
        (["eval", "orchestrator", "--profile", "groq-70b"], "groq-70b has no recorded answers"),
        (["tune", "rules", "--profile", "groq-70b"], "groq-70b has no recorded answers"),
    ):
        refused = CliRunner().invoke(app, arguments)
        assert refused.exit_code == 2 and message in refused.output
    save_profile(profile((1, 0, 2), (0, 1, 0)), tmp_path / "small.json")
    both = ["train", "orchestrator", "--profile", str(tmp_path / "small.json"), "--profile", "groq-70b"]
    refused = CliRunner().invoke(app, both)
    assert refused.exit_code == 2 and "goes alone" in refused.output
