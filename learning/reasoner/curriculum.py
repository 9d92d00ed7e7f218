"""Training examples of the planner model: ALFRED's expert plans, what they achieve, and how plans are corrupted."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rarrl.alfred import AlfredPlan, SubgoalType
from rarrl.alfred_plans import LAMPS, MAX_STEPS, OBJECTS, PLACES, expert_plan, normal_form
from rarrl.reasoner import prompt as p
from rarrl.reasoner.goal_reader import FIELDS as FIELDS
from rarrl.reasoner.goal_reader import achieved as achieved
from rarrl.reasoner.goal_reader import fields as fields
from rarrl.reasoner.plan import Fault, Plan, Verdict


@dataclass(frozen=True)
class Example:
    """A prompt, and the answer that is trained on."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class AnnotatedPlan:
    """One annotation: the goal, its words for each step of the plan (no GotoLocation), other annotators' goals.

    confusions: true class -> classes that a weaker model takes for it in this goal, likeliest first."""

    goal: str
    thoughts: tuple[str, ...]
    plan: Plan
    task_type: str
    others: tuple[str, ...]
    confusions: dict[str, tuple[str, ...]]


def annotated_plans(plans: Sequence[AlfredPlan]) -> list[AnnotatedPlan]:
    """One for each annotation, in order; without confusions."""
    found = []
    for source in plans:
        plan = expert_plan(source)
        kept = [i for i, verb in enumerate(source.subgoals) if verb is not SubgoalType.GotoLocation]
        goals = [annotation.goal for annotation in source.annotations]
        for number, annotation in enumerate(source.annotations):
            words = annotation.steps
            thoughts = tuple(words[i] for i in kept) if len(words) >= len(source.subgoals) else ()
            others = tuple(goals[:number] + goals[number + 1 :])
            found.append(AnnotatedPlan(annotation.goal, thoughts, plan, source.task_type, others, {}))

    return found


MIX = {
    "plan": 0.36,
    "think": 0.10,
    "step": 0.14,
    "translate": 0.04,
    "describe": 0.12,
    "verify": 0.14,
    "judge": 0.05,
    "replan": 0.05,
}
"""How often each kind of example is drawn: at first, mostly what words mean."""
LATE_MIX = {
    "plan": 0.26,
    "think": 0.06,
    "step": 0.07,
    "translate": 0.02,
    "describe": 0.14,
    "verify": 0.34,
    "judge": 0.05,
    "replan": 0.06,
}
"""Later, more verdicts: they are hard to learn before the words are known."""


def homes(asked: Sequence[AlfredPlan], known: Iterable[AlfredPlan]) -> list[tuple[str, ...]]:
    """The classes that a robot has met in the home (scene) of each plan of `asked` in its earlier tasks there, the
    `known` ones, never in that trial itself; sorted, () where it has done nothing there."""
    earlier: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)
    for plan in known:
        earlier[plan.scene][plan.trial] = {name for arguments in plan.arguments for name in arguments if name}
    return [
        tuple(sorted(set().union(*(names for trial, names in earlier[plan.scene].items() if trial != plan.trial))))
        for plan in asked
    ]


class ExampleSampler:
    """Draws training examples without end: words dropped or misspelt, objects exchanged, plans corrupted."""

    def __init__(self, training_set: Sequence[AnnotatedPlan], seed: int) -> None:
        self._annotated = list(training_set)
        self._random = random.Random(seed)
        self._add_noise = True
        self._mix = MIX
        self._deck: dict[str, list[int]] = {}

        self._by_type: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._same_plan: defaultdict[str, list[int]] = defaultdict(list)
        for index, annotated in enumerate(self._annotated):
            self._by_type[annotated.task_type][achieved(annotated.plan)[1].object] += 1
            self._same_plan[str(normal_form(annotated.plan))].append(index)

    def restart(self, seed: object, late: bool = False) -> None:
        """What is drawn from here on depends on `seed` alone. late: by LATE_MIX."""
        self._random.seed(repr(seed))
        self._mix = LATE_MIX if late else MIX
        self._deck.clear()

    def draw(self, kind: str = "", noisy: bool = True) -> Example:
        """The next example, of a kind in MIX or of any. noisy: whether words are dropped and misspelt."""
        self._add_noise = noisy
        kind = kind or self._random.choices(list(self._mix), weights=list(self._mix.values()))[0]
        annotated = self._next(kind)
        if kind in ("think", "step", "translate") and not annotated.thoughts:
            kind = "plan"
        return getattr(self, f"_{kind}")(annotated)

    def corrupt(self, annotated: AnnotatedPlan) -> Plan:
        """The plan with one thing wrong."""
        return self._corrupted(annotated)[0]

    def _next(self, kind: str) -> AnnotatedPlan:
        deck = self._deck.setdefault(kind, [])
        if not deck:
            deck.extend(range(len(self._annotated)))
            self._random.shuffle(deck)
        return self._annotated[deck.pop()]

    def _plan(self, annotated: AnnotatedPlan) -> Example:
        goal = annotated.goal
        plan = annotated.plan
        if self._add_noise and self._random.random() < 0.1:
            goal, plan = self._with_other_object(annotated)
        return Example(p.prompt(p.PLAN, self._noisy(goal), self._scene(plan)), p.plan_json(plan))

    def _think(self, annotated: AnnotatedPlan) -> Example:
        question = p.prompt(p.THINK, self._noisy(annotated.goal), self._scene(annotated.plan))
        return Example(question, p.thoughts_json(annotated.thoughts, annotated.plan))

    def _step(self, annotated: AnnotatedPlan) -> Example:
        index = self._random.randrange(len(annotated.plan.steps))
        step = Plan((annotated.plan.steps[index],))
        return Example(p.prompt(p.TRANSLATE, self._noisy(annotated.thoughts[index])), p.plan_json(step))

    def _translate(self, annotated: AnnotatedPlan) -> Example:
        words = " ".join(p.clean(thought, p.MAX_SENTENCE_CHARS) for thought in annotated.thoughts)
        return Example(p.prompt(p.TRANSLATE, self._noisy(words)), p.plan_json(annotated.plan))

    def _describe(self, annotated: AnnotatedPlan) -> Example:
        return Example(p.describe_prompt(annotated.plan), " " + p.clean(annotated.goal))

    def _verify(self, annotated: AnnotatedPlan) -> Example:
        plan, verdict = self._judged(annotated)
        question = p.prompt(p.VERIFY, self._noisy(annotated.goal), plan=plan)
        if not verdict.ok:
            return Example(question, p.verdict_json(verdict))
        # The right plan is trained on too: a model that expects it notices what differs.
        asked, _, given = question.partition(p.GIVEN)
        return Example(asked, p.GIVEN + given + p.verdict_json(verdict))

    def _judge(self, annotated: AnnotatedPlan) -> Example:
        """Says first what the plan achieves, in the words of an annotator who asked for that very plan, then judges."""
        for _ in range(20):
            plan, verdict = self._judged(annotated)
            askers = self._same_plan[str(normal_form(plan))]
            words = annotated.others if verdict.ok else [self._annotated[i].goal for i in askers]
            if words:
                question = p.prompt(p.JUDGE, self._noisy(annotated.goal), plan=plan)
                return Example(question, p.verdict_json(verdict, self._random.choice(words)))

        return self._verify(annotated)

    def _replan(self, annotated: AnnotatedPlan) -> Example:
        plan, _ = self._corrupted(annotated)
        failed = self._random.randrange(len(plan.steps)) if self._random.random() < 0.5 else None
        question = p.prompt(p.PLAN, self._noisy(annotated.goal), plan=plan, failed=failed)
        return Example(question, p.plan_json(annotated.plan))

    def _judged(self, annotated: AnnotatedPlan) -> tuple[Plan, Verdict]:
        if self._random.random() < 0.5:
            return annotated.plan, Verdict(True)
        plan, fault = self._corrupted(annotated)
        return plan, Verdict(False, fault)

    def _scene(self, plan: Plan) -> list[str]:
        """Mostly nothing: a planner must do with the goal alone. Else the plan's classes and as many again."""
        if not self._add_noise or self._random.random() < 0.9:
            return []
        named = {name for step in plan.steps for name in step.arguments}
        return [*named, *self._random.sample([*OBJECTS, *PLACES, *LAMPS], 12)]

    def _corrupted(self, annotated: AnnotatedPlan) -> tuple[Plan, Fault]:
        """A plan that differs in normal form, mostly by a class that is easily mistaken; and what is wrong with it."""
        right = normal_form(annotated.plan)
        while True:
            how = self._random.choices((self._wrong_class, self._wrong_step, self._wrong_task), weights=(70, 18, 12))[0]
            plan, fault = how(annotated)
            if 1 <= len(plan.steps) <= MAX_STEPS and normal_form(plan) != right:
                return plan, fault

    def _wrong_class(self, annotated: AnnotatedPlan) -> tuple[Plan, Fault]:
        names = sorted({name for step in annotated.plan.steps for name in step.arguments})
        confusable = [name for name in names if annotated.confusions.get(name)]
        if confusable and self._random.random() < 0.75:
            name = self._random.choice(confusable)
            others = annotated.confusions[name]
            other = self._random.choices(others, weights=[0.5**i for i in range(len(others))])[0]
        else:
            name = self._random.choice(names)
            pools = [pool for pool in (LAMPS, OBJECTS, PLACES) if name in pool]
            other = self._random.choice(pools[-1] if name in PLACES and self._random.random() < 0.5 else pools[0])

        plan = renamed(annotated.plan, name, other)
        moved = name in {step.arguments[-1] for step in annotated.plan.steps if step.skill == "PutObject"}
        return plan, Fault.PLACE if moved else Fault.OBJECT

    def _wrong_step(self, annotated: AnnotatedPlan) -> tuple[Plan, Fault]:
        steps = list(annotated.plan.steps)
        how = self._random.choice((Fault.MISSING, Fault.EXTRA, Fault.ORDER))
        at = self._random.randrange(len(steps))
        if how is Fault.MISSING:
            del steps[at]
        elif how is Fault.EXTRA:
            donor = self._random.choice(self._annotated).plan
            steps.insert(at + self._random.randrange(2), self._random.choice(donor.steps))
        else:
            other = self._random.randrange(len(steps))
            steps[at], steps[other] = steps[other], steps[at]

        return Plan(tuple(steps)), how

    def _wrong_task(self, annotated: AnnotatedPlan) -> tuple[Plan, Fault]:
        """Another task with the same object: heated instead of cooled, one instead of two, ..."""
        thing = achieved(annotated.plan)[1].object
        for _ in range(50):
            other = self._random.choice(self._annotated)
            if other.task_type != annotated.task_type:
                steps = renamed(other.plan, achieved(other.plan)[1].object, thing)
                return steps, Fault.EXTRA if len(steps.steps) > len(annotated.plan.steps) else Fault.MISSING
        return self._wrong_step(annotated)

    def _with_other_object(self, annotated: AnnotatedPlan) -> tuple[str, Plan]:
        """Another object in the goal and in the plan, where the goal names it by its class's own word."""
        old = achieved(annotated.plan)[1].object
        kinds = self._by_type[annotated.task_type]
        new = self._random.choices(list(kinds), weights=[n**0.5 for n in kinds.values()])[0]
        taken = {name for step in annotated.plan.steps for name in step.arguments}
        pattern = rf"\b{re.escape(spoken(old))}\b"
        goal = p.clean(annotated.goal)
        if new in taken or not re.search(pattern, goal):
            return annotated.goal, annotated.plan

        return re.sub(pattern, spoken(new), goal), renamed(annotated.plan, old, new)

    def _noisy(self, sentence: str) -> str:
        """As people type: a word missing, a letter wrong, no full stop."""
        if not self._add_noise:
            return sentence

        words = p.clean(sentence).split()
        if self._random.random() < 0.3:
            words = [word for word in words if self._random.random() > 0.06] or words
        if self._random.random() < 0.15:
            at = self._random.randrange(len(words)) if words else 0
            if words and len(words[at]) > 3:
                words[at] = self._misspelt(words[at])

        text = " ".join(words)
        if self._random.random() < 0.3:
            text = text.rstrip(".") if text.endswith(".") else text + "."
        return text

    def _misspelt(self, word: str) -> str:
        at = self._random.randrange(len(word) - 1)
        swap = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return self._random.choice((word[:at] + word[at + 1 :], swap, word[:at] + word[at] + word[at:]))


_SPOKEN = {
    "alarmclock": "alarm clock",
    "baseballbat": "baseball bat",
    "butterknife": "butter knife",
    "cellphone": "cell phone",
    "creditcard": "credit card",
    "dishsponge": "sponge",
    "glassbottle": "glass bottle",
    "handtowel": "hand towel",
    "keychain": "key chain",
    "peppershaker": "pepper shaker",
    "remotecontrol": "remote control",
    "saltshaker": "salt shaker",
    "soapbar": "bar of soap",
    "soapbottle": "soap bottle",
    "spraybottle": "spray bottle",
    "tennisracket": "tennis racket",
    "tissuebox": "tissue box",
    "toiletpaper": "toilet paper",
    "wateringcan": "watering can",
    "winebottle": "wine bottle",
}


def spoken(name: str) -> str:
    """A class's own words.

    >>> spoken("alarmclock"), spoken("mug")
    ('alarm clock', 'mug')
    """
    return _SPOKEN.get(name, name)


def renamed(plan: Plan, old: str, new: str) -> Plan:
    """`plan` with one class for another, in all its steps."""
    steps = (replace(s, arguments=tuple(new if a == old else a for a in s.arguments)) for s in plan.steps)
    return Plan(tuple(steps))
