"""The question that a task executive has open: what it rests on, what has come about since, and what it costs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from rarrl.reasoner.base import Answer
from rarrl.skills.beliefs import Beliefs
from rarrl.skills.facts import Fact
from rarrl.skills.plan import Plan, Step
from rarrl.skills.skill_set import Skill
from rarrl.thinking import Do, Happened, Kind, Present, Question, Stage, Tally, Thinking, kind_of, settled
from rarrl.types import Decision


@dataclass
class OpenQuestion:
    """One at a time. decision: the THINK whose call is not over; task: the id of its task; asked_s: the clock's time.

    told: facts that the language model was told. contradicted: beliefs that the world had contradicted when it was
    asked. succeeded: steps since then. own: told facts that the robot itself has changed since then."""

    thinking: Thinking = field(default_factory=Thinking)
    decision: Decision | None = None
    task: str = ""
    asked_s: float = 0.0
    contradicted: int = 0
    succeeded: set[Step] = field(default_factory=set)
    own: set[Fact] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)

    @property
    def open(self) -> Decision | None:
        """The THINK whose answer is awaited."""
        return self.decision if self.thinking.open is not None else None

    @property
    def stage(self) -> Stage:
        """How it stands."""
        return self.thinking.stage

    def ask(
        self,
        decision: Decision,
        task: str,
        plan: Plan | None,
        failed: Step | None,
        names: Iterable[str],
        beliefs: Beliefs,
    ) -> None:
        """Opens the question of `decision`. names: those that the language model is told of what is believed about.
        Raises: ValueError where another one is open."""
        role = decision.action.role
        assert role is not None
        told = frozenset(fact for fact in facts(beliefs) if not set(names).isdisjoint(fact))
        self.thinking = self.thinking.ask(Question(decision.id, role, decision.beside, plan, failed, told))
        self.decision, self.task = decision, task
        self.contradicted = beliefs.contradicted
        self.succeeded, self.own = set(), set()
        self.tally = self.tally.plus(asked=1, beside=decision.beside)

    def succeed(self, step: Step, before: Beliefs, after: Beliefs) -> None:
        """A step of the robot's own has succeeded. before, after: what was believed, with its effects alone."""
        self.succeeded.add(step)
        self.own |= facts(before) - facts(after)

    def is_settled(self, running: bool, plan: Plan | None, done: bool, beliefs: Beliefs) -> str:
        """Why nobody needs the answer any more; "" where somebody does, or nothing is asked."""
        question = self.thinking.open
        if question is None:
            return ""
        gone: frozenset[Hashable] = frozenset()
        if beliefs.contradicted > self.contradicted:
            gone = question.told - facts(beliefs) - self.own
        return settled(question, Present(running, plan, done, frozenset(self.succeeded), gone))

    def withdraw(self) -> int:
        """Nobody needs the answer: the id of the THINK whose call is to be stopped."""
        assert self.decision is not None
        self.thinking, _ = self.thinking.after(Happened.SETTLED)
        return self.decision.id

    def look(self, goes_on: bool) -> None:
        """Notices whether anything may go on beside the question."""
        if goes_on is (self.stage is Stage.WAITING):
            self.thinking, _ = self.thinking.after(Happened.GOES_ON if goes_on else Happened.NOTHING_LEFT)

    def hear(self, answer: Answer) -> Do:
        """What is to be done about an answer; DROP leaves `decision` as it is where the answer is to none of ours."""
        happened = self.thinking.heard(answer.decision, answer.status)
        asked = self.decision
        if asked is None or (answer.role, answer.level) != (asked.action.role, asked.action.level):
            happened = Happened.STALE
        self.thinking, do = self.thinking.after(happened)
        if do is Do.DROP:
            self.tally = self.tally.of_dropped(answer)
        return do

    def restart(self) -> None:
        """A new process knows nothing of what was asked before."""
        self.thinking, _ = self.thinking.after(Happened.RESTARTED)
        self.decision = None


def facts(beliefs: Beliefs) -> frozenset[Fact]:
    """What is believed of things and places, without where the robot is and what it holds."""
    located = ((thing, "at", place) for thing, place, _ in beliefs.state.located)
    return beliefs.state.flags | frozenset(located)


def kind_of_skill(skill: Skill, again: bool = False) -> Kind:
    """What a skill does to the world, by the robot's `skills.yaml`: it moves where it drives, or gives a place to the
    robot and nothing else. again: the open question was asked because this very step has failed."""
    effects = skill.effects
    drives = bool(effects) and all(e.words[0] == "at" and len(e.words) == 2 and not e.negated for e in effects)
    return kind_of(skill.irreversible_share, moves=drives, looks=skill.looks, again=again)
