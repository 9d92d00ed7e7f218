"""`rarrl eval mission`: whole missions with eyes, policy, gate and a language model, in one process.

Every policy of the orchestrator, and every ablation, meets the same missions: same homes, goals, people and luck of
what goes wrong. Thinking takes simulated time equal to what the call took, measured (or drawn from a latency profile).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from rarrl.build import make_orchestrator, make_policy, make_reasoner
from rarrl.clock import ManualClock
from rarrl.config import LanguageModelConfig
from rarrl.decision_loop import play_episode
from rarrl.errors import InputError
from rarrl.events import ActEvent, EndEvent, EpisodeEvent, Event, ThinkEvent
from rarrl.latency.profile import World, load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.beside import thinks_beside
from rarrl.orchestrator.features import Costs
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.policy.base import LoadedPolicy
from rarrl.policy.serve import MODELS
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.types import CallStatus, Role
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.beside import BesideExecutive
from rarrl_sim_envs.household.robot.drivers import CLASSICAL, EXACT, SGBM, Driver, HomeSensor, PolicyDriver
from rarrl_sim_envs.household.robot.executive import HouseholdExecutive
from rarrl_sim_envs.household.robot.known_goals import known_goals
from rarrl_sim_envs.household.world import DT

from .trace_recorder import MissionResult, TraceRecorder

FOLDER = MODELS / "policy_household"
EYES: dict[str, HomeSensor | None] = {"classical": CLASSICAL, "sgbm": SGBM, "exact": EXACT, "none": None}
FIRST_SEED = 50_000
"""Mission n has the seed FIRST_SEED + 10,000 s + n with `--seed s`: none that anything was trained or tuned on."""
TIME_LIMIT_S = 240.0
COST_WEIGHT = 0.06
"""Success that `learned` gives for a second of thinking: with it, it did best on the missions that it learned from."""
Say = Callable[[float, str], None]


@dataclass(frozen=True)
class Setting:
    """Who decides, and with what. eyes: a name of EYES, "none": no gate. gguf: the policy's transformer, a name in its
    folder. latency: a profile whose seconds take the place of the measured ones; "": measured. costs: the profile that
    tells what calls are expected to cost; "": that of `latency`, or the one that `learned` was trained with.
    follows_costs: what calls are expected to cost follows the calls that are made, within a mission where latencies are
    a profile's, in all missions of a process where they are measured. language_model: how `llm` is run and asked."""

    policy: str = "learned"
    eyes: str = "classical"
    gguf: str = "model_3bpw.gguf"
    llm: str = "llama"
    latency: str = ""
    people: int = 2
    disturbance: float = 1.0
    time_budget_s: float = 20.0
    token_budget: float = 6000.0
    cost_weight: float = COST_WEIGHT
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    costs: str = ""
    follows_costs: bool = True

    @property
    def profile(self) -> str:
        """Tells what calls are expected to cost."""
        return self.costs or self.latency or "household-training"


@dataclass(frozen=True)
class Row:
    """A mission played: its result, and what only the evaluation asks for. attempts: of sub-goals. step_ms: mean
    computing time of a step of 0.1 s. late: share of the steps that took longer than that on the clock."""

    result: MissionResult
    attempts: int
    failures: dict[str, int]
    calls: dict[str, int]
    steps: int
    least_clear_m: float
    late: float
    step_ms: float


@lru_cache(maxsize=4)
def _table(profile: str) -> ReplayTable:
    return ReplayTable.from_profile(load_profile(profile))


class DelayedReasoner:
    """Another reasoner's answers, with the seconds and tokens of a latency profile's calls."""

    def __init__(self, inner: Reasoner, profile: str, seed: int) -> None:
        self._inner = inner
        self._table = _table(profile)
        self._rng = np.random.default_rng([seed, 17])
        self.name = f"{inner.name} as slow as {profile}"

    def ask(self, request: Request) -> Answer:
        """See `Reasoner`; a call that the profile lost is lost."""
        answer = self._inner.ask(request)
        option = 2 * (request.role.value == "verifier") + request.level - 1
        row = int(self._rng.integers(self._table.rows))
        seconds, tokens = float(self._table.seconds[option, row]), float(self._table.tokens[option, row])
        done = bool(self._table.ok[option, row]) and seconds <= request.deadline_s
        status = answer.status if done else CallStatus.TIMEOUT
        seconds = min(seconds, request.deadline_s)
        plan, verdict = (answer.plan, answer.verdict) if done else (None, None)
        tokens_in = min(answer.tokens_in, int(tokens))
        return replace(
            answer,
            status=status,
            seconds=seconds,
            tokens_in=tokens_in,
            tokens_out=int(tokens) - tokens_in,
            plan=plan,
            verdict=verdict,
        )

    def close(self) -> None:
        """See `Reasoner`."""
        self._inner.close()


def run_mission(setting: Setting, seed: int, recorder: TraceRecorder | None = None) -> Row:
    """Plays one mission. recorder: takes it in for pictures and film.

    Raises: InputError for names that are unknown, DependencyMissingError."""
    env = HouseholdEnv(people=setting.people, disturbance=setting.disturbance, time_limit_s=TIME_LIMIT_S)
    sensor = EYES[setting.eyes]
    if recorder is not None and sensor is not None:
        sensor = recorder.sees(sensor)
    driver = PolicyDriver(_policy(setting.gguf), sensor, recorder)
    orchestrator = orchestrator_of(setting)
    executive = executive_of(setting, orchestrator, env, driver)
    if not setting.latency:
        orchestrator.costs = _known_costs(setting)
    reasoner: Reasoner = _reasoner(setting.llm, setting.language_model)
    if setting.latency:
        reasoner = DelayedReasoner(reasoner, setting.latency, seed)
    failures: dict[str, int] = {}
    calls: dict[str, int] = {}

    def log(event: Event) -> None:
        if recorder is not None and isinstance(event, EpisodeEvent):
            recorder.begin(env, seed)
        if recorder is not None:
            recorder.decision(event)
        if isinstance(event, ActEvent) and event.status != "SUCCESS" and executive.event is not None:
            failures[executive.event.reason] = failures.get(executive.event.reason, 0) + 1
        if isinstance(event, ThinkEvent):
            key = f"{event.role} {event.level}"
            calls[key] = calls.get(key, 0) + 1

    try:
        session = None if recorder is None else recorder.session(orchestrator)
        end = play_episode(executive, orchestrator, seed, ManualClock(), log, reasoner=reasoner, session=session)
        reason = "done" if end.success else "out of time" if env.is_late else _why(executive)
        result = result_of(setting, seed, env, end, driver.statistics.stops, reason)
        drive = driver.statistics
        return Row(
            result,
            end.acts,
            failures,
            calls,
            drive.steps,
            drive.least_clear_m if math.isfinite(drive.least_clear_m) else -1.0,
            drive.late / max(drive.steps, 1),
            1e3 * drive.compute_s / max(drive.steps, 1),
        )
    finally:
        env.close()


def executive_of(setting: Setting, orchestrator: Orchestrator, env: HouseholdEnv, driver: Driver) -> HouseholdExecutive:
    """The robot of a mission; it goes on beside a call where the policy asks for that. Its missions have their seeds as
    numbers."""
    kind = BesideExecutive if thinks_beside(orchestrator.policy) else HouseholdExecutive
    budget = (setting.time_budget_s, setting.token_budget)
    timeout_s = setting.language_model.call_timeout_s
    return kind(env, driver, known_goals(), *budget, first_seed=0, call_timeout_s=timeout_s)


def result_of(setting: Setting, seed: int, env: HouseholdEnv, end: EndEvent, stops: int, reason: str) -> MissionResult:
    """How a mission came out. stops: of the gate. reason: why it ended."""
    met, total = env.met
    return MissionResult(
        policy=setting.policy,
        seed=seed,
        goal=env.mission.task.goal,
        success=end.success,
        share=met / total,
        mission_s=env.world.steps * DT,
        llm_s=end.llm_seconds,
        tokens=end.tokens,
        calls=end.calls,
        collisions=env.world.collisions,
        gate_stops=stops,
        end_reason=reason,
    )


def _why(executive: HouseholdExecutive) -> str:
    return "plan done, goal not met" if executive.row is None else "too many attempts"


def orchestrator_of(setting: Setting) -> Orchestrator:
    """The orchestrator of a mission. Rules and weights are those for missions in homes, also where the latencies of
    another model are played, whose profile knows nothing of homes. Raises: InputError."""
    return make_orchestrator(
        setting.policy,
        setting.profile,
        setting.cost_weight,
        world=World.HOUSEHOLD,
        call_timeout_s=setting.language_model.call_timeout_s,
        live=setting.follows_costs,
        reasoner="" if setting.latency else setting.llm,
    )


@lru_cache(maxsize=64)
def _known_costs(setting: Setting) -> Costs:
    """What the robot of `setting` knows of its language model in this process: the next mission begins with it."""
    return orchestrator_of(setting).costs


@lru_cache(maxsize=4)
def _policy(gguf: str) -> LoadedPolicy:
    path = FOLDER / gguf
    if not path.exists():
        raise InputError(
            f"mission: {path} is missing; allowed: {', '.join(p.name for p in sorted(FOLDER.glob('*.gguf')))}"
        )
    return make_policy(FOLDER, gguf=path)


@lru_cache(maxsize=2)
def _reasoner(spec: str, settings: LanguageModelConfig) -> Reasoner:
    reasoner = make_reasoner(spec, settings=settings)
    # Loading the model is not the first call's latency.
    reasoner.ask(Request(0, Role.PLANNER, 1, "put a mug on the shelf", settings.call_timeout_s))
    return reasoner


def run_missions(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    journal: Path | None = None,
    pool: Executor | None = None,
    progress: Say | None = None,
    recorder: TraceRecorder | None = None,
) -> list[tuple[Setting, Row]]:
    """Plays every seed with every setting; in order of settings, then seeds.

    Args:
        journal: keeps what is done, so that a run that was killed goes on; None: nothing is kept
        pool: plays, as `spread.crew` makes it; None: this process
        recorder: of this process: takes the missions in, one after another"""
    jobs = [(setting, seed) for seed in seeds for setting in settings]
    done = dict(_read(journal)) if journal is not None else {}
    todo = [job for job in jobs if _key(*job) not in done]
    for number, (job, row) in enumerate(_play(todo, pool, recorder)):
        done[_key(*job)] = row
        if journal is not None:
            _append(journal, _key(*job), row)
        if progress:
            progress(len(jobs) - len(todo) + number + 1, f"{job[0].policy}: {row.result.end_reason}")
    return [(setting, done[_key(setting, seed)]) for setting in settings for seed in seeds]


def count_kept(settings: Sequence[Setting], seeds: Sequence[int], journal: Path) -> int:
    """How many missions `run_missions` would take from `journal` instead of playing them."""
    kept = {key for key, _ in _read(journal)}
    return sum(_key(setting, seed) in kept for setting in settings for seed in seeds)


def _play(
    todo: Sequence[tuple[Setting, int]], pool: Executor | None, recorder: TraceRecorder | None
) -> Iterator[tuple[tuple[Setting, int], Row]]:
    if pool is None:
        for job in todo:
            if recorder is not None:
                recorder.policy = job[0].policy
            yield job, run_mission(*job, recorder)
        return
    futures = {pool.submit(run_mission, *job): job for job in todo}
    for future in as_completed(futures):
        yield futures[future], future.result()


def _key(setting: Setting, seed: int) -> str:
    given = setting.language_model.model_dump(exclude_defaults=True)
    values = {name: value for name, value in vars(setting).items() if name != "language_model"}
    return json.dumps([values | ({"language_model": given} if given else {}), seed], sort_keys=True)


def _append(journal: Path, key: str, row: Row) -> None:
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"key": key, "row": asdict(row)}) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _read(journal: Path) -> Iterator[tuple[str, Row]]:
    if not journal.exists():
        return
    names = {field.name for field in fields(Row)}
    for line in journal.read_text("utf-8").splitlines():
        try:
            entry = json.loads(line)
            row = {name: entry["row"][name] for name in names}
            yield entry["key"], Row(**{**row, "result": MissionResult(**row["result"])})
        except (ValueError, KeyError, TypeError):
            continue  # a killed process leaves half a line
