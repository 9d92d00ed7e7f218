"""All that deciding can make of a task: the tree of its decisions, to learn from without playing it again.

Asking matters where something is new: at the beginning, after an answer, after a failure. There the tree branches; from
there on the robot acts until something is new again. With recorded answers and a world without luck the tree is all
there is, so that the worth of a policy on it, and how it changes with the policy, is computed and not sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.features import N_ACTIONS, History, Situation
from rarrl.types import Action

from .trials import Terms, Trial, Walk

LEAF = -1
"""`Tree.children` of what is not there."""


@dataclass(frozen=True)
class Tree:
    """A task's decisions; parents come before their children.

    situations: of the nodes, without a limit to what may be spent; where the task is over, that of the beginning.
    children (nodes, N_ACTIONS): index of the node that an action leads to, LEAF where it was not tried. ended (nodes,):
    the task is over there. success (nodes,): where it is. llm_s, tokens, skills (nodes,): spent until there. later:
    situations in which nothing was new, None where there were none; later_of (k,): the nodes that they come after."""

    situations: Situation
    children: NDArray[np.int64]
    ended: NDArray[np.bool_]
    success: NDArray[np.bool_]
    llm_s: NDArray[np.float64]
    tokens: NDArray[np.float64]
    skills: NDArray[np.float64]
    later: Situation | None
    later_of: NDArray[np.int64]

    @property
    def oracle(self) -> int:
        """The end that somebody would choose who knew them all: a success, with the fewest seconds of thinking."""
        ends = np.flatnonzero(self.ended)
        return int(min(ends, key=lambda end: (not self.success[end], self.llm_s[end], self.skills[end])))


class _Steered:
    """Does what it is told; keeps the situation that it has seen."""

    name = "steered"

    def __init__(self) -> None:
        self.wanted = Action.ACT
        self.seen: Situation | None = None

    def act(self, s: Situation, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The action that is wanted."""
        self.seen = stacked([s])
        return np.array([int(self.wanted)])


@dataclass
class _Open:
    """A node that is to be looked at: how it was come to, and what may still be asked."""

    walk: Walk
    policy: _Steered
    parent: tuple[int, int] | None
    asked: frozenset[Action]
    calls: int
    failures: int


def grow(trial: Trial, terms: Terms, actions: Sequence[Action], max_calls: int = 3, max_failures: int = 1) -> Tree:
    """The tree of a task.

    Args:
        trial: of the task.
        terms: whom to ask.
        actions: the calls that are tried, in rising order, each once until something has failed.
        max_calls: in one task.
        max_failures: after so many failures nothing is asked any more."""
    rows: list[tuple[bool, bool, float, float, float]] = []
    situations: list[Situation] = []
    children: list[list[int]] = []
    later: list[Situation] = []
    later_of: list[int] = []
    first = _Steered()
    stack = [_Open(Walk(trial, first, terms), first, None, frozenset(), 0, 0)]
    while stack:
        node = stack.pop()
        at = len(rows)
        if node.parent is not None:
            children[node.parent[0]][node.parent[1]] = at
        children.append([LEAF] * N_ACTIONS)
        walk, played = node.walk, node.walk.played
        over = walk.report is None
        spent = (played.llm_s, played.tokens, float(played.skills))
        rows.append((over, over and played.success, *spent))
        situations.append(situations[0] if over and situations else _seen(node))
        if over:
            continue

        may_ask = node.calls < max_calls and node.failures <= max_failures
        for action in actions:
            if may_ask and action > max(node.asked, default=Action.ACT):
                policy = _Steered()
                fork = walk.fork(policy)
                policy.wanted = action
                fork.step()
                asked = node.asked | {action}
                stack.append(_Open(fork, policy, (at, int(action)), asked, node.calls + 1, node.failures))
        failed = _acted(node, later, may_ask)
        later_of += [at] * (len(later) - len(later_of))
        now = frozenset() if failed else node.asked
        stack.append(_Open(walk, node.policy, (at, int(Action.ACT)), now, node.calls, node.failures + failed))

    ends, won, llm_s, tokens, skills = (np.array(column) for column in zip(*rows, strict=True))
    quiet = stacked(later) if later else None
    quiet_of = np.array(later_of, dtype=np.int64)
    return Tree(stacked(situations), np.array(children), ends, won, llm_s, tokens, skills, quiet, quiet_of)


def stacked(parts: Sequence[Situation]) -> Situation:
    """The situations of all robots of `parts`, copied."""
    return _of_arrays(parts, lambda arrays: np.concatenate(arrays, axis=-1))


def picked(s: Situation, rows: NDArray[np.int64]) -> Situation:
    """The situations of some robots of `s`, copied."""
    return _of_arrays([s], lambda arrays: arrays[0][..., rows])


def _of_arrays(values: Sequence[Any], make: Callable[[Sequence[NDArray[Any]]], NDArray[Any]]) -> Any:
    """A value as `values` are, whose arrays are made of theirs."""
    first = values[0]
    if first is None:
        return None
    if isinstance(first, np.ndarray):
        return make(values)
    if isinstance(first, History):
        names = [
            name for name, each in vars(first).items() if isinstance(each, np.ndarray) and not name.startswith("_")
        ]
        arrays = {name: make([getattr(value, name) for value in values]) for name in names}
        history = History(arrays[names[0]].shape[-1])
        for name, array in arrays.items():
            getattr(history, name)[...] = array
        return history
    return type(first)(
        **{f.name: _of_arrays([getattr(value, f.name) for value in values], make) for f in fields(first)}
    )


def _seen(node: _Open) -> Situation:
    """The situation of a node where a decision is due."""
    peek = node.walk.fork(_Steered())
    report = peek.report
    assert report is not None
    peek.session.answer(report)  # takes in how the last decision ended
    return stacked([peek.session.orchestrator.situation(report.summary, report.task.status if report.task else None)])


def _acted(node: _Open, later: list[Situation], may_ask: bool) -> bool:
    """Acts until something fails, where that could be answered, or the task is over. Returns whether it failed."""
    walk, policy = node.walk, node.policy
    policy.wanted = Action.ACT
    walk.step()
    while walk.report is not None:
        outcome = walk.report.outcome
        if may_ask and outcome is not None and outcome.status.value == "FAILURE":
            return True
        walk.step()
        if policy.seen is not None:  # where all rows are done already nobody is asked to decide
            later.append(policy.seen)
    return False
