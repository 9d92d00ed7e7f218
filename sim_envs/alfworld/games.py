"""ALFWorld's games: one task in one home each. Reads ALFWorld's own folder, and compact files.

ALFWorld's folder is what `alfworld-download` writes: `json_2.1.1/<split>/<task>/<trial>/game.tw-pddl`. A compact file
is `alfworld_<split>.jsonl` (or .xz), a game a line. Both hold the same; the domain and the grammar, which all games
share, are in the package `alfworld`."""

from __future__ import annotations

import lzma
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from rarrl.alfred import AlfredPlan
from rarrl.errors import InputError
from rarrl.files import read_file
from rarrl.strict_json import check_regular_file, parse_json, short, validated

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
"""ALFWorld's six, in its own order."""
MAX_COMMANDS = 50
"""Commands until a game is lost: ALFWorld's own limit (`max_nb_steps_per_episode` of its base_config.yaml)."""
FOLDER_VARIABLE = "ALFWORLD_DATA"
"""Environment variable with the folder of the games: ALFWorld's own."""
DEFAULT_FOLDER = Path("~/.cache/alfworld")
"""Where `alfworld-download` puts them."""
GAME_FILE = "game.tw-pddl"
MAX_GAME_BYTES = 4 << 20
"""Bytes of one game; the largest of ALFWorld's has 0.2 million."""
MAX_GAMES = 20_000
"""Games of one split; ALFWorld's train split has 3,553."""
MAX_UNPACKED_BYTES = 1 << 30
"""Bytes of a compact file when it is unpacked: a small .xz must not fill the memory."""
HOW_TO_GET = f"get the games with `alfworld-download` (pip install 'rarrl[alfworld]'), or set {FOLDER_VARIABLE}"

_WHAT = "ALFWorld"
_COMPACT = re.compile(r"alfworld_(\w+)\.jsonl(\.xz)?")
_PREFIX = re.compile(r"\s*your task is to:\s*", re.IGNORECASE)
_GOAL_RULE = re.compile(r'"rhs"\s*:\s*"\s*(Your task is to:[^"]*)"', re.IGNORECASE)


class TextGame(Protocol):
    """A game that is played by text alone."""

    def reset(self) -> str:
        """Begins anew; returns the opening text."""
        ...

    def step(self, command: str) -> str:
        """What the world answers to a command."""
        ...

    @property
    def won(self) -> bool:
        """Whether the task is done: for judges, not for the robot."""
        ...


@dataclass(frozen=True)
class Game:
    """One game. goal: a sentence, such as "put a clean mug in desk.". problem: PDDL, for engines and judges alone.
    walkthrough: commands of ALFWorld's expert, which knows all. solvable: whether that expert has solved it."""

    task: str
    trial: str
    goal: str
    problem: str
    walkthrough: tuple[str, ...] = ()
    solvable: bool = True

    @property
    def name(self) -> str:
        """Task and trial."""
        return f"{self.task}/{self.trial}"

    @property
    def task_type(self) -> str:
        """One of `TASK_TYPES`."""
        return self.task.partition("-")[0]

    @property
    def thing(self) -> str:
        """Class of what the task is about, in lower case: mug. For judges, as the next two."""
        return self._part(1)

    @property
    def place(self) -> str:
        """Class of where it ends: coffeemachine; of a lamp where it is looked at: desklamp."""
        return self._part(3)

    @property
    def home(self) -> str:
        """Number of the home in ALFRED, such as 323."""
        return self.task.rpartition("-")[2]

    def _part(self, number: int) -> str:
        return self.task.split("-")[number].lower()


class _Line(BaseModel):
    """A game in a compact file."""

    model_config = ConfigDict(frozen=True)

    task: str = Field(max_length=200)
    trial: str = Field(max_length=200)
    goal: str = Field(max_length=1000)
    pddl_problem: str
    walkthrough: tuple[str, ...] | None = None
    solvable: bool = True


class _File(BaseModel):
    """ALFWorld's game.tw-pddl, as far as it is needed."""

    model_config = ConfigDict(frozen=True)

    grammar: str
    pddl_problem: str
    walkthrough: tuple[str, ...] | None = None
    solvable: bool = True


def games_folder(given: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """Where the games are: `given`, else what the environment variable names, else where ALFWorld puts them.

    Raises: InputError where that is no folder or file, with what to do."""
    environment = os.environ if environment is None else environment
    folder = given or Path(environment.get(FOLDER_VARIABLE) or DEFAULT_FOLDER.expanduser())
    if not folder.exists():
        raise InputError(f"{_WHAT}: {short(str(folder), 200)} does not exist; {HOW_TO_GET}")
    return folder


def read_games(path: Path, split: str = "", n: int | None = None, unsolvable: bool = False) -> tuple[Game, ...]:
    """Reads games, sorted by name in a folder, in the order of the lines in a compact file.

    Args:
        path: a game.tw-pddl, a compact file, or a folder that holds such files.
        split: train, valid_seen or valid_unseen; "": all that the path holds.
        n: at most so many.
        unsolvable: with those that ALFWorld's own expert has not solved, which ALFWorld does not play.

    Raises: InputError, one line."""
    if path.is_dir():
        found = _of_folder(path, split)
    elif _COMPACT.fullmatch(path.name):
        found = _of_compact(path)
    else:
        found = iter([_of_file(path)])
    games = tuple(islice((game for game in found if unsolvable or game.solvable), n))
    if not games and n != 0:
        of_split = f" of split {split}" if split else ""
        raise InputError(f"{_WHAT}: {path} holds no games{of_split}; {HOW_TO_GET}")
    return games


def in_peoples_words(games: Iterable[Game], plans: Iterable[AlfredPlan]) -> tuple[Game, ...]:
    """Games with goals as people wrote them, one for each of ALFRED's annotators, instead of ALFWorld's templates.

    ALFWorld does the same with `goal_desc_human_anns_prob`. Games whose trial is not among `plans` are left out."""
    said = {(plan.trial, plan.task_type): [each.goal for each in plan.annotations] for plan in plans}
    return tuple(
        replace(game, goal=" ".join(goal.split()))
        for game in games
        for goal in said.get((game.trial, game.task_type), ())
        if goal.strip()
    )


def _of_folder(folder: Path, split: str) -> Iterator[Game]:
    compact = [file for file in sorted(folder.iterdir()) if _COMPACT.fullmatch(file.name)]
    for file in compact:
        name = _COMPACT.fullmatch(file.name)
        if name is not None and split in ("", name[1]):
            yield from _of_compact(file)
    if compact:
        return

    roots = [root / split for root in (folder, *sorted(folder.glob("json_*")))]
    root = next((root for root in roots if root.is_dir()), None)
    files = [] if root is None else sorted(islice(root.rglob(GAME_FILE), MAX_GAMES + 1))
    if len(files) > MAX_GAMES:
        raise InputError(f"{_WHAT}: {root} holds more than {MAX_GAMES} games; name one split")
    yield from map(_of_file, files)


def _of_file(path: Path) -> Game:
    check_regular_file(path, _WHAT, MAX_GAME_BYTES)
    read = validated(_File, parse_json(read_file(path, _WHAT), _WHAT, str(path)), _WHAT, str(path), {})
    goal = _GOAL_RULE.search(read.grammar)
    if goal is None:
        raise InputError(f'{_WHAT}: {path}: its grammar holds no "Your task is to: ..."; get the game again')
    folder = path.resolve().parent
    line = {"task": folder.parent.name, "trial": folder.name, "goal": goal[1]}
    line |= {"pddl_problem": read.pddl_problem, "walkthrough": read.walkthrough, "solvable": read.solvable}
    return _game(line, str(path))


def _of_compact(path: Path) -> Iterator[Game]:
    check_regular_file(path, _WHAT)
    open_it = lzma.open if path.suffix == ".xz" else open
    total = 0
    try:
        with open_it(path, "rb") as lines:
            for number in range(1, MAX_GAMES + 2):
                line = lines.readline(MAX_GAME_BYTES + 1)
                if not line:
                    return
                where, total = f"{path}, line {number}", total + len(line)
                if len(line) > MAX_GAME_BYTES or total > MAX_UNPACKED_BYTES or number > MAX_GAMES:
                    raise InputError(
                        f"{_WHAT}: {where} is beyond what is read (allowed: {MAX_GAMES} games of {MAX_GAME_BYTES} "
                        f"bytes, {MAX_UNPACKED_BYTES} in all); split the file"
                    )
                if line.strip():
                    yield _game(parse_json(line, _WHAT, where), where)
    except (lzma.LZMAError, EOFError, OSError) as error:
        raise InputError(f"{_WHAT}: {path} cannot be read ({error}); get it again") from None


def _game(value: Any, where: str) -> Game:
    line = validated(_Line, value, _WHAT, where, {})
    kind, *parts = line.task.split("-")
    if kind not in TASK_TYPES or len(parts) != 4:
        raise InputError(
            f"{_WHAT}: {where}: task {short(line.task)} is none (allowed: TYPE-Thing-Movable-Place-HOME, where TYPE is "
            f"{', '.join(TASK_TYPES)})"
        )
    goal = " ".join(_PREFIX.sub("", line.goal, count=1).split())
    return Game(line.task, line.trial, goal, line.pddl_problem, line.walkthrough or (), line.solvable)
