"""`rarrl/AlfWorld-v0`: ALFWorld's games, a command a step."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym

from rarrl.errors import DependencyMissingError, InputError
from rarrl.plugins import did_you_mean
from rarrl.strict_json import short

from .games import MAX_COMMANDS, Game, TextGame, games_folder, read_games
from .textworld_game import TextWorldGame
from .twin import Twin

MAX_TEXT = 4_000
"""Characters of an observation; the longest of ALFWorld's texts have about 1,000."""
MAX_COMMAND = 100
"""Characters of a command; ALFWorld's have fewer than 60."""
ENGINES: dict[str, Callable[[Game], TextGame]] = {"twin": Twin, "textworld": TextWorldGame}
CHARACTERS = string.ascii_letters + string.digits + string.punctuation + " \n"


class AlfWorldEnv(gym.Env[dict[str, Any], str]):
    """## Description
    ALFWorld (Shridhar et al., ICLR 2021): ALFRED's tasks in homes that are told in words. The agent types commands and
    reads what happens. What cannot be done is answered by "Nothing happens.", never by why.

    ## Action space
    `Text(100)`: a command, such as "go to fridge 1", "open fridge 1", "take mug 1 from fridge 1", "move mug 1 to shelf
    2", "clean mug 1 with sinkbasin 1" (heat with a microwave, cool with a fridge), "use desklamp 1", "look",
    "inventory", "examine fridge 1", "help".

    ## Observation space
    `Dict`: `text` (what the world says), `task` (the goal sentence).

    ## Rewards
    1 when the task is done, else 0.

    ## Starting state
    A game, drawn from the seed; `reset(options={"game": name})` takes one by its name.

    ## Episode end
    Terminates when the task is done. Truncates after 50 commands, ALFWorld's own limit.

    ## Information
    `game` (its name), `commands` (given so far), `is_success`; with the twin `possible` (all commands at which
    something would happen; not for the robot).

    ## Arguments
    `games` (a folder, a compact file, or games; None: the folder that ALFWORLD_DATA names, else ~/.cache/alfworld),
    `split` (train, valid_seen, valid_unseen), `engine` ("twin": ours, fast, no package needed; "textworld": ALFWorld's
    own), `render_mode` ("ansi": the last command and what came of it).

    ```python
    import gymnasium
    env = gymnasium.make("rarrl_sim_envs:rarrl/AlfWorld-v0", split="train")
    ```
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 (declared by gym.Env)

    def __init__(
        self,
        games: Path | str | Sequence[Game] | None = None,
        split: str = "valid_seen",
        engine: str = "twin",
        render_mode: str | None = None,
    ) -> None:
        if engine not in ENGINES:
            allowed = ", ".join(ENGINES)
            raise InputError(
                f"AlfWorld: engine {short(engine)} is unknown (allowed: {allowed}){did_you_mean(engine, ENGINES)}"
            )
        if render_mode not in (None, "ansi"):
            raise InputError(f"AlfWorld: render_mode must be None or 'ansi', got {short(render_mode)}")
        if games is not None and not games:
            raise InputError("AlfWorld: no games were given")
        self._source = games, split
        self.render_mode = render_mode
        self._engine = ENGINES[engine]
        self._game: Game
        self._played: TextGame
        self._commands = 0
        self._said = self._last = ""
        text = gym.spaces.Text(MAX_TEXT, min_length=0, charset=CHARACTERS)
        self.observation_space = gym.spaces.Dict({"text": text, "task": text})
        self.action_space = gym.spaces.Text(MAX_COMMAND, charset=CHARACTERS)

    @cached_property
    def games(self) -> tuple[Game, ...]:
        """What is played, read when it is first asked for. Raises: InputError; DependencyMissingError where nobody has
        fetched any."""
        return _games(*self._source)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins a game. Raises: InputError for a game that is not there."""
        super().reset(seed=seed)
        name = (options or {}).get("game")
        number = int(self.np_random.integers(len(self.games)))
        chosen = self.games[number] if name is None else next((g for g in self.games if g.name == name), None)
        if chosen is None:
            raise InputError(f"AlfWorld: no game {short(name)} among the {len(self.games)} that were read")
        self._game = chosen
        self._played = self._engine(chosen)
        self._commands, self._last, self._said = 0, "", self._played.reset()
        return self._observation(), self._info()

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Gives a command."""
        self._last = str(action)[:MAX_COMMAND]
        self._said = self._played.step(self._last)
        self._commands += 1
        won = self._played.won
        over = not won and self._commands >= MAX_COMMANDS
        return self._observation(), float(won), won, over, self._info()

    def render(self) -> str | None:
        """The last command and what came of it."""
        return f"> {self._last}\n{self._said}" if self.render_mode == "ansi" else None

    def _observation(self) -> dict[str, Any]:
        return {"text": _clean(self._said), "task": _clean(self._game.goal)}

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {"game": self._game.name, "commands": self._commands, "is_success": self._played.won}
        return info | ({"possible": self._played.possible()} if isinstance(self._played, Twin) else {})


def _games(games: Path | str | Sequence[Game] | None, split: str) -> tuple[Game, ...]:
    if games is None:
        try:
            return read_games(games_folder(), split)
        except InputError as error:
            raise DependencyMissingError(str(error)) from None
    if isinstance(games, (Path, str)):
        path = Path(games)
        return read_games(games_folder(path), split if path.is_dir() else "")
    return tuple(games)


def _clean(text: str) -> str:
    """What the observation space can hold."""
    return "".join(each if each in CHARACTERS else " " for each in text)[:MAX_TEXT]
