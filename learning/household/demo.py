"""What `rarrl demo` plays: many missions in the twin for its table, and the one that tells most rendered, as a film."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, replace
from itertools import zip_longest

from rarrl.alfred import TASK_TYPES
from rarrl.config import LanguageModelConfig
from rarrl.latency.profile import load_profile
from rarrl.latency.replay import ReplayTable
from rarrl_sim_envs.household.env import HouseholdEnv

from .evaluate import COST_WEIGHT, FIRST_SEED, Setting, run_mission
from .report.mission_table import Block, is_ours
from .report.trace import MissionResult, Played
from .trace_recorder import TraceRecorder
from .twin_missions import play_in_twin

Play = Callable[[Setting, int, bool], Played]
Job = tuple[Setting, int]
Keep = Callable[[Setting, Played], None]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Thinker:
    """A language model whose calls take the seconds and tokens of a latency profile; the answers are the shipped
    model's. costs: the profile that tells policies what calls are expected to cost. policies: the rows of its table ->
    who decides, as in `rarrl.build.make_orchestrator`, and the success that a learned one gives for a second of
    thinking; another row is another line."""

    name: str
    latency: str
    costs: str
    policies: Mapping[str, tuple[str, float]]

    @property
    def call_s(self) -> float:
        """Mean seconds of a plan."""
        return float(ReplayTable.from_profile(load_profile(self.latency)).costs.mean_s[0])


SHIPPED = Thinker(
    "the shipped model",
    "household",  # recorded: measured seconds would differ with the load of the machine, and with them the missions
    "household-training",
    {
        "never": ("never", 0.0),
        "always": ("always", 0.0),
        "after_failure": ("after_failure", 0.0),
        "interval": ('interval:{"every":3,"recipe":"P2"}', 0.0),
        "learned": ("learned", COST_WEIGHT),
        "learned beside": ("household_beside", 0.004),
    },
)
HOSTED = Thinker(
    "a hosted 70B model",
    "anyscale-70b",
    "anyscale-70b",
    # What did best on missions of `household-training` at these costs: `python benchmarks/demo_table.py tune`.
    {
        **SHIPPED.policies,
        "always": ('always:{"recipe":"P1"}', 0.0),
        "learned": ("learned", 0.02),
        "learned beside": ("household_beside", 0.008),
    },
)
THINKERS = (SHIPPED, HOSTED)
RENDERED = (
    *((SHIPPED, row) for row in ("never", "always", "learned")),
    *((HOSTED, row) for row in ("always", "learned", "learned beside")),
)
"""What is rendered beside a table; the last one is filmed."""
ALONE = ("never", "always", "after_failure", "learned")
"""Rows that are rendered where there is no table."""
RECORDED_MISSIONS = 300
"""So many have recorded answers, and can be in the table."""


def demo_settings(llm: str, model: LanguageModelConfig | None = None, thinker: Thinker | None = None) -> list[Setting]:
    """Of ALONE, where missions are rendered without a table. llm, model: who is asked, and its settings, as in
    `rarrl.build`. thinker: whose seconds and tokens calls cost; None: those that they take."""
    base = Setting(llm=llm, costs=SHIPPED.costs, language_model=model or LanguageModelConfig())
    return [_of(base, row, thinker) for row in ALONE]


def _rows(thinker: Thinker) -> dict[str, Setting]:
    """Of the table of `thinker`."""
    return {row: _of(Setting(llm=""), row, thinker) for row in thinker.policies}


def _of(base: Setting, row: str, thinker: Thinker | None) -> Setting:
    policy, cost_weight = (thinker or SHIPPED).policies[row]
    if thinker is None or row == "never":  # what makes no calls is the same with all thinkers
        return replace(base, policy=policy)
    return replace(base, policy=policy, latency=thinker.latency, costs=thinker.costs, cost_weight=cost_weight)


def label(setting: Setting) -> str:
    """What a setting is called in the report: its row, and whose calls if not the shipped model's."""
    thinker = next((t for t in THINKERS if t.latency == setting.latency), SHIPPED)
    row = next((name for name, own in thinker.policies.items() if own[0] == setting.policy), setting.policy)
    return row if thinker is SHIPPED else f"{row}, {thinker.name}"


def table_rows(missions: int, seed: int) -> list[int]:
    """Numbers of the recorded missions of the table: another seed, other missions, until all were had."""
    return [(seed * missions + number) % RECORDED_MISSIONS for number in range(missions)]


def play_table(
    missions: Sequence[int],
    pool: Executor | None,
    progress: Progress | None = None,
    keep: Keep | None = None,
    one: Play = play_in_twin,
) -> None:
    """Plays the missions of the table (`table_rows`) with each of `table_settings`."""
    play_all(table_settings(), missions, pool, progress, one, keep)


def table_settings() -> list[Setting]:
    """What the table plays: every policy with every thinker, and once what none of them changes."""
    return list(dict.fromkeys(setting for thinker in THINKERS for setting in _rows(thinker).values()))


def blocks(played: Mapping[Setting, Sequence[MissionResult]]) -> list[Block]:
    """The table of what `play_table` gave to keep, a block for each thinker; [] where a policy has no mission."""
    found = []
    for thinker in THINKERS:
        own = {
            name: [replace(r, policy=name) for r in played.get(setting, ())] for name, setting in _rows(thinker).items()
        }
        block = Block.of(thinker.name, thinker.call_s, own)
        if block.n:
            found.append(block)
    return found


def telling_seeds(table: Sequence[Block], missions: int) -> list[int]:
    """The seeds of the missions that tell most: in which those that learned succeed with every thinker, and as many of
    their rivals as can be do not, those first that are rendered."""
    ours: dict[int, list[bool]] = {}
    lost: dict[int, list[bool]] = {}  # of each rival that failed, whether it is rendered
    shown = {(thinker.name, row) for thinker, row in RENDERED}
    for block in table:
        for name, results in block.results.items():
            for r in results:
                ours.setdefault(r.seed, []).append(r.success or not is_ours(name))
                lost.setdefault(r.seed, []).extend([(block.thinker, name) in shown] * (not r.success))

    def tells(seed: int) -> tuple[bool, int, int]:
        return all(ours[seed]), sum(lost[seed]), len(lost[seed])

    return sorted(ours, key=lambda seed: (*(-int(value) for value in tells(seed)), seed))[:missions]


def seeds_to_render(table: Sequence[Block], missions: int, seed: int) -> list[int]:
    """Of so many missions: those of the `table` that tell most, or without a table `demo_seeds`."""
    return telling_seeds(table, missions) if table else demo_seeds(missions, seed)


def rendered_settings(llm: str, model: LanguageModelConfig | None = None) -> list[Setting]:
    """Of the missions that are rendered beside a table, the filmed one last."""
    base = Setting(llm=llm, costs=SHIPPED.costs, language_model=model or LanguageModelConfig())
    return [_of(base, row, thinker) for thinker, row in RENDERED]


def demo_seeds(missions: int, seed: int) -> list[int]:
    """Of `missions` missions that nothing was trained or tuned on: the first of each type of task in the list of the
    evaluation, then the second of each, and so on, so that few missions are not many of one type."""
    first = FIRST_SEED + 10_000 * seed
    by_type: dict[str, list[int]] = {}
    number = 0
    while len(by_type) < len(TASK_TYPES) or min(map(len, by_type.values())) * len(TASK_TYPES) < missions:
        by_type.setdefault(_task_type(first + number), []).append(first + number)
        number += 1

    rounds = zip_longest(*(by_type[name] for name in TASK_TYPES))
    return [found for one in rounds for found in one if found is not None][:missions]


def _task_type(seed: int) -> str:
    """The type of the task that a mission of this seed has."""
    env = HouseholdEnv(stereo=False)
    env.reset(seed=seed)
    return env.mission.task.task_type


def play(setting: Setting, seed: int, pictures: bool, recorder: TraceRecorder | None = None) -> Played:
    """One mission, rendered and recorded. pictures: of the left eye too. recorder: takes it in; None: a new one."""
    name = label(setting)
    recorder = recorder or TraceRecorder(name, pictures)
    recorder.policy = name
    row = run_mission(setting, seed, recorder)
    trace = recorder.trace()
    thoughts = tuple(d for d in trace.decisions if d.action == "think")
    return Played(replace(row.result, policy=name), thoughts, trace)


def play_all(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    pool: Executor | None = None,
    progress: Progress | None = None,
    one: Play = play,
    keep: Keep | None = None,
    live: TraceRecorder | None = None,
) -> list[Played]:
    """Every seed with every setting, in the order of settings, then seeds; those of the last setting with pictures.

    pool: plays, as `spread.crew` makes it; None: this process. one: plays a mission. keep: is called with each mission
    as soon as it is played, in any order. live: takes in those of the last setting, which are then played in this
    process.

    Raises: what `run_mission` raises."""
    jobs = [(setting, seed) for seed in seeds for setting in settings]
    found: dict[Job, Played] = {}

    def take(job: Job, played: Played) -> None:
        found[job] = played
        if keep is not None:
            keep(job[0], played)
        if progress is not None:
            progress(len(found), f"{label(job[0])}: {played.result.end_reason}")

    here = jobs if pool is None else [job for job in jobs if live is not None and job[0] == settings[-1]]
    if pool is not None:
        futures = {pool.submit(one, *job, job[0] == settings[-1]): job for job in jobs if job not in here}
        for future in as_completed(futures):
            take(futures[future], future.result())
    for job in here:
        shown = live is not None and job[0] == settings[-1]
        take(job, play(*job, True, live) if shown else one(*job, job[0] == settings[-1]))
    return [found[setting, seed] for setting in settings for seed in seeds]
