"""The games as ALFWorld itself plays them: TextWorld's PDDL engine, with the domain and the grammar of the installed
package `alfworld`, as its own environment does."""

from __future__ import annotations

import contextlib
import json
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from rarrl.errors import DependencyMissingError

from .games import GAME_FILE, Game

PIP = "pip install 'rarrl[alfworld]' (two of its packages are compiled: about 17 minutes)"
_GOAL_MARK = "UNKNOWN GOAL."
"""In the package's grammar, where the goal goes."""


class TextWorldGame:
    """A game that is played by text alone; see `rarrl_sim_envs.alfworld.games.TextGame`.

    A reset takes about 2 s, a command 0.1 s. The planner under it is a library with one state: of several games in a
    process only the last that was reset may be played.

    Args:
        game: to be played.

    Raises: DependencyMissingError without the packages."""

    def __init__(self, game: Game) -> None:
        try:
            textworld = import_module("textworld")
            info = import_module("alfworld.info")
            with contextlib.redirect_stdout(None):
                demangler = import_module("alfworld.agents.environment.alfred_tw_env").AlfredDemangler
        except ImportError as error:
            raise DependencyMissingError(f"ALFWorld's own engine needs {error.name or error}: {PIP}") from None

        data = {
            "pddl_domain": Path(info.ALFRED_PDDL_PATH).read_text("utf-8"),
            "grammar": Path(info.ALFRED_TWL2_PATH).read_text("utf-8").replace(_GOAL_MARK, json.dumps(game.goal)[1:-1]),
            "pddl_problem": game.problem,
            "solvable": game.solvable,
            "walkthrough": list(game.walkthrough),
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, GAME_FILE)
            path.write_text(json.dumps(data), "utf-8")
            wrappers = [demangler(shuffle=False)]
            self._engine: Any = textworld.start(str(path), textworld.EnvInfos(won=True), wrappers=wrappers)
        self._state: Any = None

    def reset(self) -> str:
        """Begins anew; returns the opening text."""
        self._state = self._engine.reset()
        return str(self._state.feedback)

    def step(self, command: str) -> str:
        """What the world answers to a command. Raises: RuntimeError before `reset`."""
        if self._state is None:
            raise RuntimeError("reset the game first")
        self._state, _, _ = self._engine.step(command)
        return str(self._state.feedback)

    @property
    def won(self) -> bool:
        """Whether the task is done."""
        return self._state is not None and bool(self._state.won)
