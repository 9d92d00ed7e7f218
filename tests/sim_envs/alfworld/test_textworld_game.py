"""ALFWorld's own engine behind the same two calls; that it says the same as the twin is shown in test_twin.py."""

import builtins
import sys
from importlib.util import find_spec

import pytest
from alfworld_fixtures import a_game

from rarrl.errors import DependencyMissingError
from rarrl_sim_envs.alfworld.textworld_game import TextWorldGame


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "textworld", None)
    with pytest.raises(DependencyMissingError, match=r"needs textworld: pip install 'rarrl\[alfworld\]'"):
        TextWorldGame(a_game())
    assert builtins.print is print  # nothing is left behind


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("textworld") is None or find_spec("alfworld") is None,
    reason="needs textworld and alfworld: pip install 'rarrl[alfworld]'",
)
def test_a_game_is_played():
    game = TextWorldGame(a_game())
    with pytest.raises(RuntimeError, match="reset the game first"):
        game.step("look")
    assert "put some mug on desk." in game.reset()
    for command in ("go to countertop 1", "take mug 1 from countertop 1", "go to desk 1", "move mug 1 to desk 1"):
        assert not game.won
        game.step(command)
    assert game.won
