"""`rarrl eval alfworld`: what thinking adds in a third party's world, over the executive that needs no model.

Each game is played under each policy, with the same answers of the same model. ALFWorld has no luck: what differs is
what was decided. Beside the policies stand the executive without any model, with ALFWorld's templates read by rules,
and somebody who knows how each decision would end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import read_alfred
from rarrl.errors import InputError
from rarrl.orchestrator.abstain import load_abstention
from rarrl.orchestrator.learned import load_learned
from rarrl.orchestrator.registry import load_policy
from rarrl.orchestrator.rules import OrchestratorPolicy
from rarrl.results import Figure, make_results, write_results
from rarrl.skills.domain import Domain
from rarrl.skills.nearest import NearestExample, Recalled
from rarrl.strict_json import read_json
from rarrl.types import Action
from rarrl_sim_envs.alfworld.games import Game, TextGame, games_folder, in_peoples_words, read_games
from rarrl_sim_envs.alfworld.plans import plan_for
from rarrl_sim_envs.alfworld.twin import Twin

from ..progress import done_on_each
from ..trees import grow
from ..trials import Played, Terms, Trial
from .asked import known_of
from .goals import Kind, rules_plan
from .trials import AtHome, Home

FOLDER = Path(__file__).parent
RULES = FOLDER / "rules.json"
"""What was tuned on games to learn from: rules, and the prices at which the learned policy is held against them."""
WEIGHTS = FOLDER / "policy.safetensors"
ABSTAIN = FOLDER / "abstain.json"
ENGINES = ("textworld", "twin")
DRAWS = 2000
"""Bootstrap draws of the intervals, over games."""
COLUMNS = ("success", "llm_s", "tokens", "calls", "skills", "asked")
FREE_S = 3600.0
"""Seconds of thinking that a task may take where there is no budget to speak of."""
BINDING = "0.5"
"""The budget of the figure that stands for all: a task may cost half of one call of level 1 on average. On people's
sentences: with templates nobody who is not asked for them needs a call."""
TOKENS = "tokens"
"""Ends the name of a budget that is of tokens, not of seconds."""
PLANNERS = (Action.PLANNER_1, Action.PLANNER_2)


@dataclass(frozen=True)
class Contender:
    """Who plays. spec: of `load_policy`, or `oracle`. cap_s: seconds of thinking in one task. cost_weight: what the
    policy is told that a second of thinking costs. recall: "": the plan of the nearest example of the robot's file;
    "rules": templates read by rules. abstains: it asks a person where it doubts."""

    name: str
    spec: str
    cap_s: float = FREE_S
    cost_weight: float = 0.004
    recall: str = ""
    abstains: bool = False


@dataclass(frozen=True)
class Said:
    """A game and a sentence for it (`game.goal`)."""

    game: Game
    kind: Kind


def engine_of(name: str | None) -> str:
    """The engine to play with: `name`, else TextWorld where it is installed. Raises: InputError."""
    if name is not None and name not in ENGINES:
        raise InputError(f"--engine: {name[:40]!r} is none (allowed: {', '.join(ENGINES)})")
    return name or ("textworld" if find_spec("textworld") and find_spec("alfworld") else "twin")


def said_in(
    split: str, goals: str, alfred: Path | None = None, n: int | None = None, folder: Path | None = None
) -> list[Said]:
    """The sentences of a split.

    Args:
        split: valid_seen, valid_unseen or train; or the path of a file or folder of games.
        goals: template, human or both.
        alfred: ALFRED's data, for human.
        n: at most so many games, spread over the split.
        folder: of the games, see `games_folder`; with a path not needed.

    Raises: InputError."""
    kinds = {"template": (Kind.TEMPLATE,), "human": (Kind.HUMAN,), "both": tuple(Kind)}.get(goals)
    if kinds is None:
        raise InputError(f"--goals: {goals[:40]!r} is none (allowed: template, human, both)")
    path = Path(split)
    games = read_games(path) if path.exists() else read_games(games_folder(folder), split)
    if n is not None and n < len(games):
        games = tuple(games[int(at)] for at in np.linspace(0, len(games) - 1, n))
    found = [Said(game, Kind.TEMPLATE) for game in games] if Kind.TEMPLATE in kinds else []
    if Kind.HUMAN in kinds:
        if alfred is None:
            raise InputError("--goals: what people said needs ALFRED's annotations; add --alfred FOLDER")
        plans = [plan for name in ("train", "valid_seen") for plan in _plans(alfred, name)]
        found += [Said(game, Kind.HUMAN) for game in in_peoples_words(games, plans)]
    return found


@lru_cache(maxsize=4)
def _plans(alfred: Path, split: str) -> tuple[Any, ...]:
    return tuple(read_alfred(alfred, split).plans)


def make_engine(engine: str) -> Callable[[Game], TextGame]:
    """What plays a game."""
    if engine == "twin":
        return Twin
    from rarrl_sim_envs.alfworld.textworld_game import TextWorldGame

    return TextWorldGame


@lru_cache(maxsize=300)
def _policy(spec: str) -> OrchestratorPolicy:
    return load_learned(Path(spec)) if spec.endswith(".safetensors") else load_policy(spec)


def play(contenders: Sequence[Contender], model: str, llm: str, engine: str, said: Said) -> NDArray[np.float64]:
    """One sentence under each contender: (contenders, COLUMNS)."""
    home = Home(said.game, make_engine(engine))
    known = known_of(model, llm)
    trials: dict[str, Trial] = {}
    rows: list[tuple[float, ...]] = []
    for each in contenders:
        trial = trials.setdefault(each.recall, Trial(home.task(said.game.goal, recall_of(each.recall, home.domain))))
        terms = Terms(AtHome(known), known.costs, (each.cap_s, 1e9), cost_weight=each.cost_weight)
        if each.abstains:
            terms = replace(terms, abstention=load_abstention(ABSTAIN))
        if each.spec == "oracle":
            if engine != "twin":  # of TextWorld's games one alone can be under way
                trial = Trial(Home(said.game, Twin).task(said.game.goal))
            tree = grow(trial, terms, PLANNERS)
            end = tree.oracle
            calls = tree.situations.history.calls[end]
            rows.append((tree.success[end], tree.llm_s[end], tree.tokens[end], calls, tree.skills[end], 0.0))
        else:
            rows.append(_row(trial.play(_policy(each.spec), terms)))
    return np.array(rows, dtype=np.float64)


def _row(played: Played) -> tuple[float, ...]:
    return (played.success, played.llm_s, played.tokens, played.calls, played.skills, played.asked)


def recall_of(name: str, domain: Domain) -> Callable[[str], Recalled] | None:
    """See `Contender.recall`."""
    if not name:
        return None
    nearest = NearestExample(domain)

    def by_rules(sentence: str) -> Recalled:
        recalled = nearest.recall(sentence)
        plan = rules_plan(sentence)
        try:
            return recalled if plan is None else replace(recalled, plan=plan_for(plan, domain), similarity=1.0)
        except ValueError:  # the home has nothing for it
            return recalled

    return by_rules


def played(
    contenders: Sequence[Contender],
    said: Sequence[Said],
    model: str,
    llm: str,
    engine: str,
    pool: Executor | None,
    say: Callable[[str, float], None],
) -> NDArray[np.float64]:
    """(contenders, sentences, COLUMNS)."""
    one = partial(play, tuple(contenders), model, llm, engine)
    rows = done_on_each(one, said, pool, say, f"sentences, {model}")
    return np.array(rows).swapaxes(0, 1)


def contenders_of(tuned: Mapping[str, Any], names: Sequence[str] | None = None) -> list[Contender]:
    """never, the rules as they were tuned, the learned policy (`sure`: at a price that cost nothing with people's
    sentences on the games to learn from), the executive without a model, and the oracle; with
    `@share` what did best on the games to learn from within that share of the seconds of one call of level 1 a task,
    and with `@sharetokens` within that share of its tokens.

    tuned: of a model, see `tuned_for`. names: those alone; None: all. Raises: InputError for an unknown name."""
    weight = float(tuned.get("cost_weight", 0.004))
    found = [Contender("never", "never"), Contender("rules_no_model", "never", recall="rules")]
    found += [Contender(family, spec_of(family, params)) for family, params in tuned["rules"].items()]
    if WEIGHTS.exists():
        found += [Contender("learned", str(WEIGHTS), cost_weight=weight)]
        if "cost_weight_sure" in tuned:
            found += [Contender("learned_sure", str(WEIGHTS), cost_weight=float(tuned["cost_weight_sure"]))]
    if WEIGHTS.exists() and ABSTAIN.exists():
        found += [Contender("learned_asks", str(WEIGHTS), cost_weight=weight, abstains=True)]
    budgets = {**tuned.get("budgets", {}), **{f"{s}{TOKENS}": at for s, at in tuned.get("token_budgets", {}).items()}}
    for share, at in budgets.items():
        cap_s = float(at["cap_s"])
        found += [Contender(f"rule@{share}", spec_of(at["rule"], at["params"]), cap_s)]
        if WEIGHTS.exists() and "cost_weight" in at:
            found += [Contender(f"learned@{share}", str(WEIGHTS), cap_s, float(at["cost_weight"]))]
    found += [Contender("oracle", "oracle")]
    if names is None:
        return found
    unknown = sorted(set(names) - {each.name for each in found})
    if unknown:
        raise InputError(f"--policy: {unknown[0]!r} is none (allowed: {', '.join(each.name for each in found)})")
    return [each for each in found if each.name in names]


def tuned_for(model: str, folder: Path = FOLDER) -> dict[str, Any]:
    """What was tuned for a model; a live one is played with what was tuned for the shipped planner."""
    table = read_json(folder / RULES.name, "tuned rules")["models"]
    return dict(table["shipped" if model == "live" else model])


def spec_of(family: str, params: Mapping[str, Any]) -> str:
    """A rule with its parameters, as `load_policy` reads it: policies go to other processes by name."""
    return f"{family}:{json.dumps(params)}" if params else family


class Bootstrap:
    """Intervals over games: sentences of one game are drawn together.

    Args:
        games: (n,) name of the game of each sentence."""

    def __init__(self, games: Sequence[str], seed: int = 0) -> None:
        _, self._of = np.unique(np.array(games), return_inverse=True)
        number = int(self._of.max()) + 1
        rng = np.random.default_rng(seed)
        self._draws = rng.multinomial(number, np.full(number, 1.0 / number), size=DRAWS).astype(np.float64)

    def ratio(self, above: NDArray[np.float64], below: NDArray[np.float64]) -> tuple[float, float, float]:
        """Sum of `above` by sum of `below`, with its interval."""
        sums = [np.bincount(self._of, values, minlength=self._draws.shape[1]) for values in (above, below)]
        found = (self._draws @ sums[0]) / np.maximum(self._draws @ sums[1], 1e-9)
        low, high = np.percentile(found, [2.5, 97.5])
        return float(above.sum() / max(below.sum(), 1e-9)), float(low), float(high)

    def mean(self, values: NDArray[np.float64]) -> list[float]:
        """Mean, and its interval."""
        return [round(each, 4) for each in self.ratio(values, np.ones(len(values)))]

    def figure(self, values: NDArray[np.float64], unit: str = "1") -> Figure:
        """Mean as a figure."""
        value, low, high = self.mean(values)
        return Figure(value, unit, len(values), low, high)

    def share(self, what: NDArray[np.bool_], among: NDArray[np.bool_]) -> Figure:
        """The share of those in `among` that are in `what`."""
        value, low, high = self.ratio((what & among).astype(float), among.astype(float))
        return Figure(round(value, 4), "1", int(among.sum()), round(low, 4), round(high, 4))

    def saved(self, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Figure:
        """The share of `theirs` that `ours` does without."""
        value, low, high = self.ratio(ours, theirs)
        return Figure(round(1.0 - value, 4), "1", len(ours), round(1.0 - high, 4), round(1.0 - low, 4))


def eval_alfworld(
    split: str = "valid_seen",
    *,
    goals: str = "template",
    model: str = "shipped",
    llm: str = "llama",
    engine: str | None = None,
    policies: Sequence[str] | None = None,
    n: int | None = None,
    alfworld: Path | None = None,
    alfred: Path | None = None,
    pool: Executor | None = None,
    seed: int = 0,
    json_path: Path | None = None,
    command: str = "rarrl eval alfworld",
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Plays a split under each policy; returns (and writes to `json_path`) the results document.

    Sentences that were not recorded are asked of the shipped planner itself; of SmolLM2 they are left out.
    Raises: InputError."""
    say = progress or (lambda what, share: None)
    engine = engine_of(engine)
    contenders = contenders_of(tuned_for(model), policies)
    known = known_of(model, llm)
    said = [each for each in said_in(split, goals, alfred, n, alfworld) if known.knows(each.game.goal)]
    if not said:
        raise InputError(f"--model: nothing was recorded of {model} on these games; play --model live")
    results = dict(
        zip((c.name for c in contenders), played(contenders, said, model, llm, engine, pool, say), strict=True)
    )

    tables: dict[str, Any] = {}
    figures: dict[str, Figure] = {}
    for kind in Kind:
        rows = np.array([each.kind is kind for each in said])
        if rows.any():
            draws = Bootstrap([each.game.name for each in said if each.kind is kind], seed)
            part = {name: result[rows] for name, result in results.items()}
            tables[kind.value] = {name: _table_row(result, draws) for name, result in part.items()}
            figures |= _figures("" if kind is Kind.TEMPLATE else "_human", part, draws)
    tables["setup"] = {
        "engine": engine,
        "model": known.name,
        "games": len({each.game.name for each in said}),
        "sentences": len(said),
        "asked_live": known.asked,
        "call_seconds": dict(zip(("P1", "P2"), np.round(known.costs.mean_s[:2], 4).tolist(), strict=True)),
        "tuned": tuned_for(model),
    }
    document = make_results(command, seed, figures, tables)
    if json_path is not None:
        write_results(json_path, document)
    return document


def _table_row(result: NDArray[np.float64], draws: Bootstrap) -> dict[str, Any]:
    return {name: draws.mean(result[:, column]) for column, name in enumerate(COLUMNS)}


def _figures(suffix: str, part: Mapping[str, NDArray[np.float64]], draws: Bootstrap) -> dict[str, Figure]:
    """What the learned policy reaches and saves; nothing where it was not played."""
    found: dict[str, Figure] = {}
    if "rules_no_model" in part:
        found[f"alfworld_success_without_model{suffix}"] = draws.figure(part["rules_no_model"][:, 0])
    if "oracle" in part:
        found[f"alfworld_success_oracle{suffix}"] = draws.figure(part["oracle"][:, 0])
    if "learned" not in part:
        return found
    for name, result in part.items():
        share = name.partition("@")[2]
        if name.startswith("rule@") and f"learned@{share}" in part:
            gain = part[f"learned@{share}"][:, 0] - result[:, 0]
            found[f"alfworld_gain_over_best_rule_{share}{suffix}"] = draws.figure(gain)
            if share == BINDING and suffix:
                found["alfworld_gain_over_best_rule"] = draws.figure(gain)
    learned = part["learned"]
    found[f"alfworld_success_learned{suffix}"] = draws.figure(learned[:, 0])
    for name, other in product(("learned", "learned_sure"), ("always", "start")):
        if name in part and other in part:
            ours, theirs = part[name], part[other]
            who = f"{name.removeprefix('learned')}{'' if other == 'always' else '_vs_start'}{suffix}"
            found[f"alfworld_tokens_saved{who}"] = draws.saved(ours[:, 2], theirs[:, 2])
            found[f"alfworld_seconds_saved{who}"] = draws.saved(ours[:, 1], theirs[:, 1])
            found[f"alfworld_success_lost{who}"] = draws.figure(theirs[:, 0] - ours[:, 0])
    if "learned_asks" in part:
        asked, failed = part["learned_asks"][:, 5] > 0.0, learned[:, 0] == 0.0
        found[f"abstain_share{suffix}"] = draws.figure(asked.astype(float))
        if failed.any():
            found[f"abstain_coverage{suffix}"] = draws.share(asked, failed)
            found[f"abstain_success_of_the_others{suffix}"] = draws.share(~failed, ~asked)
            found[f"abstain_stopped_of_successes{suffix}"] = draws.share(asked, ~failed)
    if "never" in part:
        found[f"alfworld_gain_over_never{suffix}"] = draws.figure(learned[:, 0] - part["never"][:, 0])
    return found
