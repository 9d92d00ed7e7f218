"""`rarrl profile record --skills F --world F`: a language model's answers on sentences of a robot's own.

The sentences are the examples of the robot's file with other names of its world in them. The example that a sentence
was made of is left out of what the model is shown. An answer is right if its plan ends as the example's does, by the
skills' needs and gives (`skill_goals`). The profile holds what calls cost and how often they were right; an
orchestrator without names trains on it (`rarrl train orchestrator --features nameless --profile FILE`)."""

from __future__ import annotations

import datetime
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.latency.profile import COLUMNS, CallRecord, LatencyProfile, ProfileHeader, shareable
from rarrl.reasoner.base import Reasoner, Request
from rarrl.results import machine
from rarrl.skills.beliefs import Beliefs
from rarrl.skills.domain import Domain
from rarrl.skills.nearest import NearestExample
from rarrl.skills.plan import Plan, Step
from rarrl.types import Role

from .record import Journal, Progress, RecordConfig, call_columns, counted_ends, profile_name, unbroken
from .skill_goals import Outcomes

TRIES = 50
"""Names that are drawn for one sentence before another example is taken."""


@dataclass(frozen=True)
class Mission:
    """A sentence with a plan that is right. domain: the robot without the example that the sentence was made of."""

    say: str
    right: Plan
    domain: Domain


def drawn_missions(domain: Domain, n: int, seed: int) -> list[Mission]:
    """`n` sentences, the same ones first for any `n`. Raises: InputError where the examples do not make so many."""
    examples = [example for example in domain.skills.examples if example.plan]
    if len(examples) < 2:
        raise InputError(
            "profile record: the skills file needs at least two examples with plans: one is asked for, the others are "
            "shown; add some"
        )
    rng = np.random.default_rng(seed)
    outcomes = Outcomes(domain)
    without = [_without(domain, example.say) for example in examples]
    found: dict[str, Mission] = {}
    for _ in range(TRIES * n):
        at = int(rng.integers(len(examples)))
        say, plan = _renamed(domain, examples[at].say, Plan.from_rows(examples[at].plan), rng)
        if say not in found and outcomes.end(plan) is not None:
            found[say] = Mission(say, plan, without[at])
        if len(found) == n:
            return list(found.values())
    raise InputError(
        f"profile record: the examples and the names of this world make {len(found)} different sentences, and {n} are "
        "wanted; lower --n, or add examples"
    )


def _without(domain: Domain, say: str) -> Domain:
    examples = tuple(example for example in domain.skills.examples if example.say != say)
    return Domain(domain.skills.model_copy(update={"examples": examples}), domain.made, domain.policy)


def _renamed(domain: Domain, say: str, plan: Plan, rng: np.random.Generator) -> tuple[str, Plan]:
    """The example with other names, each said in one of its ways."""
    words = say.replace("_", " ").split()
    renames: dict[str, str] = {}
    for mention in reversed(domain.lexicon.mentioned(say)):
        world = domain.world
        kind = next(each for each in ("thing", "place", "door", "room") if mention.name in world.names(each))
        alike = [
            name for name in world.names(kind) if _alike(domain, name, mention.name) and name not in renames.values()
        ]
        new = renames.setdefault(mention.name, str(rng.choice(alike)) if alike else mention.name)
        words[mention.start : mention.end] = [str(rng.choice(domain.aliases[new]))]
    steps = tuple(Step(step.skill, tuple(renames.get(a, a) for a in step.arguments)) for step in plan.steps)
    return " ".join(words), Plan(steps)


def _alike(domain: Domain, name: str, other: str) -> bool:
    """Whether one name may stand for the other: places that open for such, and so on."""
    places = domain.world.places
    if name in places and other in places:
        return (places[name].opens, places[name].holds) == (places[other].opens, places[other].holds)
    return True


def record_skills(
    reasoner: Reasoner,
    missions: Sequence[Mission],
    config: RecordConfig,
    header: ProfileHeader,
    journal: Path,
    progress: Progress | None = None,
) -> LatencyProfile:
    """Makes every call that the journal does not hold yet; the whole profile. `progress(missions done, text)`."""
    data = hashlib.sha256(missions[0].say.encode()).hexdigest()  # more of them begin with the same
    records = []
    ends: Counter[str] = Counter()
    with Journal(journal, {"config": config.settings, "backend": reasoner.name, "data": data}) as kept:
        recorder = _Recorder(unbroken(reasoner), config, kept)
        for number, mission in enumerate(missions):
            for answer in recorder.answers(number, mission):
                ends[answer["finish"]] += 1
                records.append(CallRecord(**{name: answer[name] for name in COLUMNS}))
            if progress is not None:
                progress(number + 1, f"{recorder.made} calls made; {counted_ends(ends)}")
    return LatencyProfile(schema_version=1, header=header, records=tuple(records))


class _Recorder:
    def __init__(self, reasoner: Reasoner, config: RecordConfig, journal: Journal) -> None:
        self.made = 0
        self._reasoner = reasoner
        self._config = config
        self._journal = journal
        self._outcomes: dict[int, Outcomes] = {}

    def answers(self, number: int, mission: Mission) -> Iterator[dict[str, Any]]:
        """The planner's, then the verifier's on each different plan that there is: the nearest example's, and the
        planner's own."""
        recalled = NearestExample(mission.domain).recall(mission.say).plan
        plans = [recalled] if recalled is not None else [mission.right]
        if Role.PLANNER in self._config.roles:
            for level in self._config.levels:
                answer = self._ask(number, mission, Role.PLANNER, level, None)
                if answer["finish"] == "stop":
                    plans.append(Plan.from_rows(answer["plan"]))
                yield answer

        if Role.VERIFIER in self._config.roles:
            for plan in dict.fromkeys(plans):
                for level in self._config.levels:
                    yield self._ask(number, mission, Role.VERIFIER, level, plan)

    def _ask(self, number: int, mission: Mission, role: Role, level: int, plan: Plan | None) -> dict[str, Any]:
        key = f"{number} {role.value} {level} {plan or ''}".rstrip()
        if key in self._journal.calls:
            return dict(self._journal.calls[key]["answer"])

        domain = mission.domain
        request = Request(
            self.made + 1,
            role,
            level,
            mission.say,
            self._config.deadline_s,
            plan=plan,
            seed=self._config.seed,
            domain=domain,
            beliefs=Beliefs.at_start(domain.world).about(domain.lexicon.named(mission.say)),
        )
        if not self.made:  # loading the model is not the first call's latency
            self._reasoner.ask(request)
        answer = self._reasoner.ask(request)
        self.made += 1

        row = call_columns(answer, plan, lambda judged: self._judge(domain).same(judged, mission.right))
        self._journal.add(key, row, answer.status, answer.why, answer.text)
        return row

    def _judge(self, domain: Domain) -> Outcomes:
        return self._outcomes.setdefault(id(domain), Outcomes(domain))


def skills_header(name: str, reasoner: str, robot: str, config: RecordConfig) -> ProfileHeader:
    """Where the recording comes from, for its file; without paths of this machine and the address of a server."""
    here = machine()
    reasoner = shareable(reasoner)
    options = f"--n {config.n} --threads {config.threads} --roles {','.join(role.value for role in config.roles)}"
    options += f" --levels {','.join(map(str, config.levels))} --seed {config.seed}"
    return ProfileHeader(
        name=profile_name(name),
        kind="recorded",
        measured=f"{config.n} sentences made of the examples of a skills file ({robot}), each without the example "
        f"that it was made of; right: ends as the example's plan does, by needs and gives; threads: {config.threads}",
        model=reasoner,
        hardware=f"{here['processor']}, {here['cores']} cores shared with other work, {here['platform']}",
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        source="rarrl profile record on a robot's own skills.yaml and world.yaml",
        licence="recorded by rarrl; sentences of the robot's maker are not included",
        command=f"rarrl profile record --skills FILE --world FILE --llm {reasoner} {options}",
    )
