"""All that deciding can make of a task: the tree of its decisions, to learn from without playing it again.

Asking matters where something is new: at the beginning, after an answer, after a failure. There the tree branches; from
there on the robot acts until something is new again. With recorded answers and a world without luck the tree is all
there is, so that the worth of a policy on it, and how it changes with the policy, is computed and not sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.features import N_ACTIONS, NAMELESS_FEATURE_NAMES, Situation, encode_nameless
from rarrl.types import Action

from .trials import Terms, Trial, Walk

LEAF = -1
"""`Tree.children` of what is not there."""


@dataclass(frozen=True)
class Tree:
    """A task's decisions; parents come before their children.

    features (nodes, F) of NAMELESS_FEATURE_NAMES. children (nodes, N_ACTIONS): index of the node that an action leads
    to, LEAF where it was not tried. ended (nodes,): the task is over there. success (nodes,): where it is. llm_s,
    tokens, skills (nodes,): spent until there. later (k, F): situations in which nothing was new."""

    features: NDArray[np.float32]
    children: NDArray[np.int64]
    ended: NDArray[np.bool_]
    success: NDArray[np.bool_]
    llm_s: NDArray[np.float64]
    tokens: NDArray[np.float64]
    skills: NDArray[np.float64]
    later: NDArray[np.float32]

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
        self.seen: NDArray[np.float32] = np.zeros(0, np.float32)

    def act(self, s: Situation, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The action that is wanted."""
        self.seen = encode_nameless(s)[0]
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


def grow(trial: Trial, terms: Terms, actions: Sequence[Action], max_calls: int = 3, max_failures: int = 2) -> Tree:
    """The tree of a task.

    Args:
        trial: of the task.
        terms: whom to ask.
        actions: the calls that are tried, in rising order, each once until something has failed.
        max_calls: in one task.
        max_failures: after so many failures nothing is asked any more."""
    rows: list[tuple[NDArray[np.float32], bool, bool, float, float, float]] = []
    children: list[list[int]] = []
    later: list[NDArray[np.float32]] = []
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
        rows.append((_seen(node), over, over and played.success, *spent))
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
        now = frozenset() if failed else node.asked
        stack.append(_Open(walk, node.policy, (at, int(Action.ACT)), now, node.calls, node.failures + failed))

    columns = list(zip(*rows, strict=True))
    empty = np.zeros((0, len(NAMELESS_FEATURE_NAMES)), np.float32)
    return Tree(
        np.array(columns[0], np.float32),
        np.array(children),
        np.array(columns[1]),
        np.array(columns[2]),
        *(np.array(column) for column in columns[3:]),
        later=np.array(later, np.float32) if later else empty,
    )


def _seen(node: _Open) -> NDArray[np.float32]:
    """The features of a node; zeros where the task is over."""
    if node.walk.report is None:
        return np.zeros(len(NAMELESS_FEATURE_NAMES), np.float32)
    node.policy.wanted = Action.ACT
    look = _Steered()
    peek = node.walk.fork(look)
    assert peek.report is not None
    peek.session.answer(peek.report)
    return look.seen


def _acted(node: _Open, later: list[NDArray[np.float32]], may_ask: bool) -> bool:
    """Acts until something fails, where that could be answered, or the task is over. Returns whether it failed."""
    walk, policy = node.walk, node.policy
    policy.wanted = Action.ACT
    walk.step()
    while walk.report is not None:
        outcome = walk.report.outcome
        if may_ask and outcome is not None and outcome.status.value == "FAILURE":
            return True
        walk.step()
        later.append(policy.seen)
    return False
