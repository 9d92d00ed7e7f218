"""`rarrl demo --alfworld`: games of ALFWorld as they are played, to be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rarrl.decision_loop import DecisionSession
from rarrl.executive.executive import TaskExecutive
from rarrl.files import write_text_atomic
from rarrl.orchestrator.learned import load_learned
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.registry import load_policy
from rarrl_sim_envs.alfworld.games import TASK_TYPES, Game, TextGame
from rarrl_sim_envs.alfworld.robot import domain_of
from rarrl_sim_envs.alfworld.transcript import Transcript, as_html, as_text, play_transcript

from ..trials import COST_WEIGHT
from .asked import known_of
from .evaluate import WEIGHTS, make_engine, said_in, tuned_for
from .trials import SETTINGS, AtHome

TEXT, PAGE = "alfworld.txt", "alfworld.html"
"""Files of the report, in the run's folder."""
CAP = (60.0, 20_000.0)
"""Seconds and tokens of thinking in one game."""


@dataclass(frozen=True)
class Shown:
    """What was played. text, page: the report's files."""

    transcripts: tuple[Transcript, ...]
    text: Path
    page: Path


def choose(games: Sequence[Game], n: int, seed: int) -> list[Game]:
    """n games, of each type of task in turn; of one type the seed says with which to begin."""
    by_type = {kind: [game for game in games if game.task_type == kind] for kind in TASK_TYPES}
    pools = [pool[seed % len(pool) :] + pool[: seed % len(pool)] for pool in by_type.values() if pool]
    found = [pool[turn] for turn in range(max(map(len, pools))) for pool in pools if turn < len(pool)]
    return found[:n]


def play_games(
    folder: Path,
    n: int,
    seed: int = 0,
    games: Path | None = None,
    alfred: Path | None = None,
    llm: str = "llama",
    engine: str = "twin",
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> Shown:
    """Plays n games of valid_seen without a model, and with the planner asked as a policy decides; writes the report.

    Args:
        folder: for the report.
        games: folder of ALFWorld's games; None: where ALFWorld puts them.
        alfred: folder of ALFRED; goals are then as people wrote them, else ALFWorld's templates.
        llm: who plans, see `rarrl.build.make_reasoner`; without llama.cpp nobody is asked.

    Raises: InputError where there are no games."""
    said = said_in("valid_seen", "template" if alfred is None else "human", alfred, folder=games)
    chosen = choose([each.game for each in said], n, seed)
    policies = ["no model"] + ([_policy_name()] if llm != "llama" or find_spec("llama_cpp") else [])
    make, transcripts = make_engine(engine), []
    for number, game in enumerate(chosen):
        for policy in policies:
            transcripts.append(_play(game, policy, make, llm))
        progress((number + 1) / len(chosen), game.goal)

    text, page = folder / TEXT, folder / PAGE
    write_text_atomic(text, as_text(transcripts))
    write_text_atomic(page, as_html(transcripts, "ALFWorld: a robot that reads"))
    return Shown(tuple(transcripts), text, page)


def _policy_name() -> str:
    return "learned" if WEIGHTS.exists() else "always"


def _play(game: Game, policy: str, make: Callable[[Game], TextGame], llm: str) -> Transcript:
    played = make(game)
    domain = domain_of(played.reset())
    executive = TaskExecutive(domain, SETTINGS)
    if policy == "no model":
        return play_transcript(game, played, executive, policy)
    known = known_of("shipped" if llm == "llama" else "live", llm)
    if policy == "learned":
        weight = float(tuned_for("shipped").get("cost_weight", COST_WEIGHT))
        orchestrator = Orchestrator(load_learned(WEIGHTS), known.costs, weight)
    else:
        orchestrator = Orchestrator(load_policy(policy), known.costs, COST_WEIGHT)
    session = DecisionSession(orchestrator, CAP, domain=domain)
    return play_transcript(game, played, executive, policy, session, AtHome(known))
