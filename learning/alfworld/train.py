"""`rarrl train orchestrator --world alfworld`: when to ask, learned on games of the train split alone.

Of those games that the shipped planner was not taught, each sentence becomes a tree of decisions, with the answers of
each model (`rarrl_learning.trees`). On the trees the worth of a policy is exact, and so is its gradient: nothing is
sampled but what a second of thinking costs, and what a task may spend. Rules are tuned on the same trees."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rarrl.alfred import AlfredPlan, is_development
from rarrl.files import sha256, write_json_atomic
from rarrl.orchestrator.abstain import Abstention
from rarrl.orchestrator.features import N_ACTIONS, NAMELESS_FEATURE_NAMES, encode_nameless
from rarrl.orchestrator.learned import LearnedPolicy, load_learned, save_policy
from rarrl.orchestrator.rules import OrchestratorPolicy, make_rule
from rarrl.results import machine, versions
from rarrl.types import Action
from rarrl_sim_envs.alfworld.games import Game

from ..grove import Grove, Outcome
from ..progress import done_on_each
from ..trees import Tree, grow
from ..trials import COST_WEIGHT, Terms, Trial
from .abstain import Trajectory, calibrated, fit_score, watch
from .answers import MODELS, answers_path
from .asked import known_of
from .evaluate import (
    ABSTAIN,
    FOLDER,
    FREE_S,
    PLANNERS,
    RULES,
    WEIGHTS,
    Said,
    make_engine,
    said_in,
    tuned_for,
)
from .goals import Kind
from .trials import AtHome, Home

RECIPES = ("P1", "P2")
"""The verifier's verdict changes nothing that the executive does, and says ok to four of five wrong plans here: it is
left out, for the rules as for the policy."""
GRIDS: dict[str, list[dict[str, Any]]] = {
    "always": [{"recipe": r} for r in RECIPES],
    "start": [{"recipe": r} for r in RECIPES],
    "after_failure": [{"failures": f, "recipe": r} for f in (1, 2) for r in RECIPES],
    "interval": [{"every": e, "recipe": r} for e in (4, 8, 12) for r in RECIPES],
    "threshold": [{"theta": t, "recipe": r} for t in (0.0, 0.1, 0.2, 0.3, 0.4) for r in RECIPES],
    "brace": [
        {"failures": f, "cooldown": c, "window": w, "recipe": r}
        for f, c, w, r in product((1, 2), (1, 2), (1, 3), RECIPES)
    ],
    "confidence": [
        {"default": d, "theta": t, "verify": 0, "first": first, "failures": f}
        for d in (*np.round(np.arange(0.0, 1.01, 0.02), 2).tolist(), 2.0)
        for t in (0.0, 0.8, 0.9, 0.95, 0.98)
        for first, f in product((1, 2), (1, 2, 9))
    ],
}
"""Rule -> the parameters that tuning tries."""
BUDGETS = (0.25, 0.5, 0.75, 1.0)
"""Mean seconds of thinking, or tokens, a task that a policy may come to on people's sentences, in parts of those of
`start`, asked at level 1: templates cost a policy that reads similarity nothing."""
Spent = Literal["llm_s", "tokens"]
"""What a budget is of: a column of `Outcome`."""
CAP_CALLS = 2.5
"""No task may take more seconds of thinking than so many calls of level 1 where a budget binds: a rule that asks again
and again where no plan comes would be held against its mean on trees, which ask once."""
PRICES = tuple(float(p) for p in np.round([*np.geomspace(1e-3, 0.05, 10), *np.linspace(0.06, 1.2, 58), 3.0, 10.0], 5))
"""Points of success for the seconds of one call of level 1: the dial of the learned policy."""
PRICE_RANGE, CLOSE_RANGE = (1e-3, 3.0), (0.05, 1.2)
"""Prices that it is trained at: half of them from all of the range by their logarithm, half from where a call may or
may not be worth it."""
HIDDEN_UNITS, STEPS, RATE, WEIGHT_DECAY, QUIET = 24, 800, 0.01, 0.003, 0.05
"""Of the network; steps of Adam; its rate; how small weights are kept; weight of acting where nothing is new."""
TREES = 130
"""Games whose trees are grown; the others set the threshold of asking a person."""
TEMPLATE_EVERY = 5
"""Templates are learned from few examples: the robot reads them without a model."""
UNDECIDED = 0.2
"""Weight of staying undecided at first, falling to 0: a policy that is sure at once learns nothing more."""
LATER = 500
"""Situations in which nothing is new that each step looks at."""


@dataclass(frozen=True)
class Lesson:
    """The trees of one model. weight (trees,): of each. call_s: seconds of a call of level 1. by_people (trees,): whose
    sentence it is; None: all are."""

    grove: Grove
    weight: NDArray[np.float64]
    call_s: float
    by_people: NDArray[np.bool_] | None = None

    @property
    def of_people(self) -> Lesson:
        """People's sentences alone."""
        return self if self.by_people is None else replace(self, weight=self.weight * self.by_people)

    def mean(self, values: NDArray[np.float64]) -> float:
        """Weighted mean over trees."""
        return float(np.average(values, weights=self.weight))

    def score(self, outcome: Outcome) -> tuple[float, float]:
        """Success and seconds of thinking."""
        return self.mean(outcome.success), self.mean(outcome.llm_s)


def tune(lesson: Lesson) -> dict[str, dict[str, Any]]:
    """Of every rule the parameters with the most success, of several those with the fewest seconds."""
    best: dict[str, dict[str, Any]] = {}
    for family, grid in GRIDS.items():
        scored = [(lesson.score(lesson.grove.play(make_rule(family, **params), FREE_S)), params) for params in grid]
        (_, _), params = max(scored, key=lambda each: (round(each[0][0], 6), -each[0][1]))
        best[family] = dict(params)
    return best


def within(lesson: Lesson, policy: LearnedPolicy, budget: float, spent: Spent = "llm_s") -> dict[str, Any]:
    """What does best with a mean of at most `budget` seconds, or tokens, a task: a rule, and a price of `policy`, which
    is one of seconds in both cases."""
    cap_s = CAP_CALLS * lesson.call_s
    unit = "s" if spent == "llm_s" else spent

    def score(policy: OrchestratorPolicy, cost_weight: float = COST_WEIGHT) -> tuple[float, float]:
        outcome = lesson.grove.play(policy, cap_s, cost_weight)
        return round(lesson.mean(outcome.success), 6), lesson.mean(getattr(outcome, spent))

    rules = []
    for family, grid in GRIDS.items():
        if family in ("always", "interval"):  # they ask where nothing is new, too, and pay more than trees tell
            continue
        for params in grid:
            success, mean = score(make_rule(family, **params))
            if mean <= budget:
                rules.append((success, -mean, family, params))
    priced = []
    for price in PRICES:
        weight = price / lesson.call_s
        success, mean = score(policy, weight)
        if mean <= budget:
            priced.append((success, -mean, weight))
    rule = max(rules, key=lambda each: each[:2])
    found: dict[str, Any] = {"rule": rule[2], "params": rule[3], "rule_success": rule[0], f"rule_{unit}": -rule[1]}
    found["cap_s"] = cap_s
    if priced:
        learned = max(priced)
        found |= {"cost_weight": learned[2], "learned_success": learned[0], f"learned_{unit}": -learned[1]}
    return found


def fit(
    lessons: Sequence[Lesson], seed: int = 0, steps: int = STEPS, say: Callable[[str, float], None] | None = None
) -> LearnedPolicy:
    """The policy that is worth most on all lessons, over prices and budgets."""
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    allowed = np.array([action in (Action.ACT, Action.PLANNER_1, Action.PLANNER_2) for action in Action])
    names = len(NAMELESS_FEATURE_NAMES)
    net = torch.nn.Sequential(
        torch.nn.Linear(names, HIDDEN_UNITS), torch.nn.Tanh(), torch.nn.Linear(HIDDEN_UNITS, N_ACTIONS)
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        losses = []
        for lesson in lessons:
            grove = lesson.grove
            wide = np.exp(rng.uniform(math.log(PRICE_RANGE[0]), math.log(PRICE_RANGE[1]), len(grove)))
            price = np.where(rng.random(len(grove)) < 0.5, wide, rng.uniform(*CLOSE_RANGE, len(grove))) / lesson.call_s
            price *= min(2.0 * step / steps, 1.0)  # cheap at first: where calls cost much, never to ask is soon learned
            cap_s = float(rng.choice([FREE_S, FREE_S, 12.0 * lesson.call_s, 1.5 * lesson.call_s]))
            s = grove.situations(cap_s, price[grove.of])
            mask = torch.tensor((grove.mask(s) & allowed[:, None]).T)
            logits = net(torch.tensor(encode_nameless(s))).masked_fill(~mask, -1e9)
            worth = torch.tensor(grove.success - price[grove.of] * grove.llm_s, dtype=torch.float32)
            chances = torch.softmax(logits, dim=1)
            value = _value(chances, worth, grove, torch)
            weight = torch.tensor(lesson.weight / lesson.weight.sum(), dtype=torch.float32)
            losses.append(-(weight * value[torch.tensor(grove.roots)]).sum())
            undecided = -(chances * torch.log(chances + 1e-9)).sum(dim=1)[torch.tensor(~grove.ended)].mean()
            losses.append(-UNDECIDED * max(1.0 - 1.5 * step / steps, 0.0) * undecided)

            some = rng.integers(len(grove.later_of), size=LATER)
            later = grove.situations(cap_s, price[grove.of[grove.later_of[some]]], some)
            quiet = net(torch.tensor(encode_nameless(later))).masked_fill(~torch.tensor(allowed), -1e9)
            losses.append(-QUIET * torch.log_softmax(quiet, dim=1)[:, 0].mean())
        loss = torch.stack(losses).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if say is not None and step % 20 == 19:
            say(f"loss {loss.item():.4f}", (step + 1) / steps)

    layers = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    return LearnedPolicy(
        "alfworld",
        tuple(layer.weight.detach().numpy().astype(np.float32) for layer in layers),
        tuple(layer.bias.detach().numpy().astype(np.float32) for layer in layers),
        np.zeros(names, dtype=bool),
        allowed,
        nameless=True,
    )


def _value(chances: Any, worth: Any, grove: Grove, torch: Any) -> Any:
    """(nodes,) what is expected from each node on: chances (nodes, 5), worth (nodes,) where the task is over there."""
    value = torch.where(torch.tensor(grove.ended), worth, torch.zeros_like(worth))
    for level in grove.levels:
        kids = torch.tensor(np.maximum(grove.children[level], 0))
        at = torch.tensor(level)
        value = value.index_put((at,), (chances[at] * value[kids]).sum(dim=1))
    return value


def default_price(lesson: Lesson, policy: LearnedPolicy, lost: float = 0.01) -> float:
    """The dearest price of a second at which `policy` loses at most `lost` of the success at its best one."""
    scores = [lesson.score(lesson.grove.play(policy, FREE_S, price / lesson.call_s))[0] for price in PRICES]
    good = [price for price, success in zip(PRICES, scores, strict=True) if success >= max(scores) - lost]
    return max(good) / lesson.call_s


def summary(lessons: Mapping[str, Lesson], policy: LearnedPolicy) -> dict[str, dict[str, Any]]:
    """Model -> the tuned rules, the policy's price where nothing binds, the dearest one that costs no success with
    people's sentences, and what does best within each budget."""
    found: dict[str, dict[str, Any]] = {}
    for model, lesson in lessons.items():
        people = lesson.of_people
        start = people.grove.play(make_rule("start", recipe="P1"), FREE_S)
        full_s, full_tokens = people.mean(start.llm_s), people.mean(start.tokens)
        found[model] = {
            "rules": tune(lesson),
            "cost_weight": default_price(lesson, policy),
            "cost_weight_sure": default_price(people, policy, lost=0.0),
            "budgets": {f"{share:g}": within(people, policy, share * full_s) for share in BUDGETS},
            "token_budgets": {f"{share:g}": within(people, policy, share * full_tokens, "tokens") for share in BUDGETS},
        }
    return found


def grown(said: Sequence[Said], model: str, pool: Executor | None, say: Callable[[str, float], None]) -> list[Tree]:
    """The tree of each sentence, in the twin."""
    return done_on_each(partial(_tree, model), said, pool, say, f"sentences, {model}")


def _tree(model: str, said: Said) -> Tree:
    known = known_of(model)
    home = Home(said.game, make_engine("twin"))
    return grow(Trial(home.task(said.game.goal)), Terms(AtHome(known), known.costs), PLANNERS)


def lesson_of(said: Sequence[Said], trees: Sequence[Tree], model: str) -> Lesson:
    """Trees to learn from; ALFWorld's templates count as much as people's sentences."""
    costs = known_of(model).costs
    kinds = np.array([each.kind is Kind.HUMAN for each in said])
    weight = np.where(kinds, 1.0 / max(kinds.sum(), 1), 1.0 / max((~kinds).sum(), 1))
    return Lesson(Grove(trees, costs), weight / weight.mean(), float(costs.mean_s[0]), kinds)


def sentences_to_learn_from(alfworld: Path | None, alfred: Path) -> list[Said]:
    """Of each game of the train split that the shipped planner was not taught, one sentence of people, and of some
    ALFWorld's own, in an order that says nothing. Raises: InputError."""
    found: list[Said] = []
    said = {kind: said_in("train", kind.value, alfred, folder=alfworld) for kind in Kind}
    templates = {each.game.name: each for each in said[Kind.TEMPLATE]}
    human = {each.game.name: each for each in reversed(said[Kind.HUMAN])}
    names = [name for name, each in templates.items() if name in human and is_kept_back(each.game)]
    order = np.random.default_rng(0).permutation(len(names))
    for number, name in enumerate(names[int(at)] for at in order):
        found += [human[name]] + ([templates[name]] if number % TEMPLATE_EVERY == 0 else [])
    return found


def is_kept_back(game: Game) -> bool:
    """Whether the shipped planner was not taught a game's trial."""
    return is_development(AlfredPlan("", "", game.trial, (), (), ()))


def train_alfworld(
    alfworld: Path | None,
    alfred: Path,
    *,
    n: int | None = None,
    pool: Executor | None = None,
    seed: int = 0,
    folder: Path = FOLDER,
    command: str = "rarrl train orchestrator --world alfworld",
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Grows the trees, tunes the rules, fits the policy and when to ask a person; writes all three into `folder`.

    n: games whose trees are grown, TREES by default; the threshold of asking a person is set by the other games.

    Returns what the card of the weights says. Raises: InputError."""
    say = progress or (lambda what, share: None)
    every = sentences_to_learn_from(alfworld, alfred)
    names = list(dict.fromkeys(each.game.name for each in every))[: n or TREES]
    said = [each for each in every if each.game.name in names]
    grown_of: dict[str, tuple[list[Said], list[Tree]]] = {}
    for model in (each for each in MODELS if answers_path(each).exists()):
        known = [each for each in said if known_of(model).knows(each.game.goal)]
        grown_of[model] = known, grown(known, model, pool, say)
    card = learn(grown_of, seed, folder, command, say)

    watched = watch_all(every, folder / WEIGHTS.name, tuned_for(MODELS[0], folder)["cost_weight"], pool, say)
    learn_to_ask(watched, names, folder, command)
    return card


def watch_all(
    said: Sequence[Said], weights: Path, cost_weight: float, pool: Executor | None, say: Callable[[str, float], None]
) -> list[Trajectory]:
    """What the robot knew whenever it acted, under the learned policy with the shipped planner."""
    policy = load_learned(weights)  # these very weights, on whatever machine
    return done_on_each(partial(_watched, policy, cost_weight), said, pool, say, "sentences watched")


def _watched(policy: LearnedPolicy, cost_weight: float, said: Said) -> Trajectory:
    known = known_of(MODELS[0])
    terms = Terms(AtHome(known), known.costs, (FREE_S, 1e9), cost_weight=cost_weight)
    trial = Trial(Home(said.game, make_engine("twin")).task(said.game.goal))
    return watch(trial, policy, terms, said.game.name)


def learn_to_ask(watched: Sequence[Trajectory], fitted_to: Sequence[str], folder: Path, command: str) -> Abstention:
    """Fits the score of failure to the games `fitted_to`, sets its threshold by the others, and writes it."""
    fitting = [each for each in watched if each.game in set(fitted_to)]
    held = [each for each in watched if each.game not in set(fitted_to)]
    made = calibrated(fit_score(fitting), held)
    stopped = np.array([each.score(made) >= made.threshold for each in held])
    failed = np.array([each.failed for each in held])
    card = {
        "command": command,
        "fitted_to": f"{len(fitting)} sentences, of which {sum(each.failed for each in fitting)} failed",
        "calibrated_on": f"{len(held)} others, of which {int(failed.sum())} failed",
        "stopped_of_those_that_succeed": round(float(stopped[~failed].mean()), 4),
        "guarantee": "of the tasks that fail, at least the share `promise` is announced, over calibration and new task "
        "together, where they are exchangeable: see rarrl.orchestrator.abstain",
    }
    write_json_atomic(folder / ABSTAIN.name, {**made.to_json(), "card": card})
    return made


def learn(
    grown_of: Mapping[str, tuple[Sequence[Said], Sequence[Tree]]],
    seed: int,
    folder: Path,
    command: str,
    say: Callable[[str, float], None],
) -> dict[str, Any]:
    """See `train_alfworld`. grown_of: model -> sentences, and their trees."""
    lessons = {model: lesson_of(said, trees, model) for model, (said, trees) in grown_of.items()}
    policy = fit(list(lessons.values()), seed, say=say)
    tuned = summary(lessons, policy)
    words = sorted(f"{each.game.name} {each.game.goal}" for each in grown_of[MODELS[0]][0])
    data = sha256("\n".join(words).encode())
    write_json_atomic(folder / RULES.name, {"command": command, "data": data, "models": tuned})

    metrics: dict[str, float] = {}
    for model, lesson in lessons.items():
        played = lesson.grove.play(policy, FREE_S, tuned[model]["cost_weight"])
        never = lesson.grove.play(make_rule("never"), FREE_S)
        metrics |= {f"{model}_success": lesson.score(played)[0], f"{model}_llm_s": lesson.score(played)[1]}
        metrics |= {f"{model}_success_never": lesson.score(never)[0]}
        metrics |= {f"{model}_success_oracle": lesson.score(lesson.grove.oracle(FREE_S))[0]}
    card = {
        "command": command,
        "trained_on": {model: f"{len(lesson.grove)} sentences" for model, lesson in lessons.items()},
        "data": data,
        "features": "nameless",
        "seed": seed,
        "metrics": {name: round(value, 4) for name, value in metrics.items()},
        "machine": machine(),
        "versions": versions(),
    }
    save_policy(policy, folder, card, WEIGHTS.name)
    return card
