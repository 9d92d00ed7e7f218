"""Records what the shipped planner and SmolLM2 answer on ALFWorld's goals.

    python -m rarrl_learning.alfworld.record shipped --alfworld DIR --alfred DIR
    python -m rarrl_learning.alfworld.record smollm2 --alfworld DIR --alfred DIR --model FILE.gguf

Games to learn from are those of the train split that the shipped planner was not taught; one sentence of each kind. Of
valid_seen every sentence is asked. Both models know a home by its furniture, which the opening text names; the shipped
one also by all that is in it, as a robot does that has looked everywhere. A plan that is wrong is given to them once
more, as one that has failed. A killed recording goes on where it was."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from rarrl.alfred import read_alfred
from rarrl.build import shipped_model
from rarrl.reasoner.base import Reasoner, Request
from rarrl.reasoner.fewshot import FewShot
from rarrl.reasoner.llama import LlamaReasoner
from rarrl.reasoner.nearest import NearestGoal
from rarrl.reasoner.plan import Plan
from rarrl.types import Role

from ..recorded_answers import DEADLINE_S, AnswerFile, Recorded, robot_hash
from .answers import MODELS, ROBOT, InPeoplesWords, answers_path, question_of
from .goals import Game, Kind, known_sentences, learning_games, nearest_plan, read_games, rules_plan, sentences

NAMES = {"shipped": "rarrl-planner", "smollm2": "SmolLM2-135M-Instruct.Q4_1"}
"""What the models are called in the files."""
SMALL_SHARE = 2
"""SmolLM2 is asked about every second game to learn from: it takes three CPU seconds a call."""
BLOCK = 4
"""Sentences that SmolLM2 is asked about at one level before the other: the model's memory of a prompt, which both
levels begin with, is gone by then, so that each call is recorded at its full price."""

Ask = Callable[[Role, int, Plan | None, tuple[str, ...]], Recorded]


@dataclass(frozen=True)
class Goal:
    """A sentence to ask about."""

    game: Game
    sentence: str

    @property
    def opening(self) -> tuple[str, ...]:
        """What the robot knows of the home from the opening text."""
        return self.game.furniture

    @property
    def searched(self) -> tuple[str, ...]:
        """What it knows after it has looked everywhere."""
        return tuple(sorted({*self.game.furniture, *self.game.things}))


def shipped_questions(goal: Goal, ask: Ask, known: NearestGoal) -> None:
    """All that is asked of the shipped planner about one sentence."""
    game = goal.game
    plans = [rules_plan(goal.sentence), nearest_plan(goal.sentence, known)]
    plans.append(_plan(ask(Role.PLANNER, 1, None, ())))
    plans += [_plan(ask(Role.PLANNER, 2, None, home)) for home in (goal.opening, goal.searched)]

    for failed in [plan for plan in dict.fromkeys(plans) if plan is not None and not game.is_right(plan)]:
        plans.append(_plan(ask(Role.PLANNER, 1, failed, ())))
        plans += [_plan(ask(Role.PLANNER, 2, failed, home)) for home in (goal.opening, goal.searched)]

    for plan in dict.fromkeys(plans):
        if plan is not None:
            ask(Role.VERIFIER, 1, plan, ())
            ask(Role.VERIFIER, 2, plan, goal.opening)


def small_questions(goals: Sequence[Goal], asks: Sequence[Ask]) -> None:
    """All that is asked of SmolLM2 about some sentences: planner 1, planner 2, and planner 2 again where it was
    wrong."""
    for ask in asks:
        ask(Role.PLANNER, 1, None, ())
    for goal, ask in zip(goals, asks, strict=True):
        plan = _plan(ask(Role.PLANNER, 2, None, goal.opening))
        if plan is not None and not goal.game.is_right(plan):
            ask(Role.PLANNER, 2, plan, goal.opening)


def goals_to_ask(games: Sequence[Game], every: bool, kinds: Sequence[Kind] = tuple(Kind)) -> list[Goal]:
    """The sentences of `games`, the first of each kind, or every one."""
    found = []
    for kind in kinds:
        for game in games:
            said = sentences(game, kind)
            found += [Goal(game, sentence) for sentence in (said if every else said[:1])]
    return found


def asker(file: AnswerFile, reasoner: Reasoner, goal: Goal) -> Ask:
    """Asks about one sentence what `file` does not hold yet."""

    def ask(role: Role, level: int, plan: Plan | None, home: tuple[str, ...]) -> Recorded:
        request = Request(0, role, level, goal.sentence, DEADLINE_S, home, plan)
        return file.ask(InPeoplesWords(reasoner), question_of(request), request)

    return ask


def record(model: str, gguf: Path, alfworld: Path, alfred: Path, report: Callable[[str], None]) -> AnswerFile:
    """Asks `model` what its file does not hold yet. Raises: InputError."""
    train, seen = (read_games(alfworld, alfred, split) for split in ("train", "valid_seen"))
    known = known_sentences(read_alfred(alfred, "train").plans, train)
    learning = learning_games(train)
    file = AnswerFile(answers_path(model), NAMES[model], robot_hash(ROBOT))

    small = model == "smollm2"
    reasoner = LlamaReasoner(gguf, recipe=FewShot(known, own=True) if small else None)
    try:
        reasoner.ask(Request(0, Role.PLANNER, 1, "put a mug on the shelf", DEADLINE_S))  # loads what is loaded late
        if small:
            for number, block in enumerate(_small_blocks(learning[::SMALL_SHARE], seen)):
                small_questions(block, [asker(file, reasoner, goal) for goal in block])
                report(f"{model}: {(number + 1) * BLOCK} sentences, {len(file.entries)} answers")
        else:
            goals = [*goals_to_ask(learning, False), *goals_to_ask(seen, True)]
            for number, goal in enumerate(goals):
                shipped_questions(goal, asker(file, reasoner, goal), known)
                if number % 50 == 49 or number + 1 == len(goals):
                    report(f"{model}: {number + 1} of {len(goals)} sentences, {len(file.entries)} answers")
    finally:
        reasoner.close()
    file.save()
    return file


def _small_blocks(learning: Sequence[Game], seen: Sequence[Game]) -> Iterator[list[Goal]]:
    """What people said before what templates make, and games of both splits in turn."""
    for kind in (Kind.HUMAN, Kind.TEMPLATE):
        both = zip_longest(goals_to_ask(seen, False, (kind,)), goals_to_ask(learning, False, (kind,)))
        goals = [goal for goal in chain.from_iterable(both) if goal is not None]
        for at in range(0, len(goals), BLOCK):
            yield goals[at : at + BLOCK]


def _plan(answer: Recorded) -> Plan | None:
    return None if answer.plan is None else Plan.from_rows(answer.plan)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", choices=MODELS)
    parser.add_argument("--alfworld", type=Path, required=True, help="folder with alfworld_<split>.jsonl.xz")
    parser.add_argument("--alfred", type=Path, required=True, help="folder with alfred_<split>.jsonl.gz")
    parser.add_argument("--model", type=Path, help="GGUF file; default: the shipped planner")
    args = parser.parse_args()
    file = record(
        args.who, args.model or shipped_model(), args.alfworld, args.alfred, lambda text: print(text, flush=True)
    )
    print(f"{file.path}: {len(file.entries)} answers, {file.path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
