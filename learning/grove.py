"""Many tasks' trees side by side: a policy's worth on all of them at once, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rarrl.orchestrator.features import Costs, Floats, Situation
from rarrl.orchestrator.rules import OrchestratorPolicy

from .trees import LEAF, Tree, picked, stacked


@dataclass(frozen=True)
class Outcome:
    """What a policy comes to on each tree; arrays (trees,). end: the node where it ended."""

    success: Floats
    llm_s: Floats
    tokens: Floats
    skills: Floats
    end: NDArray[np.int64]


class Grove:
    """Trees, their nodes numbered through.

    Args:
        trees: of tasks in which the same model was asked.
        costs: what its calls are expected to cost.

    Attributes:
        roots: (trees,) node at which each begins. of: (nodes,) the tree of each node. children, ended, success, llm_s:
            see `Tree`, with nodes of the grove."""

    def __init__(self, trees: Sequence[Tree], costs: Costs) -> None:
        sizes = np.array([len(tree.ended) for tree in trees])
        self.costs = costs
        self.roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self.of = np.repeat(np.arange(len(trees)), sizes)
        self.children = np.concatenate(
            [
                np.where(tree.children == LEAF, LEAF, tree.children + root)
                for tree, root in zip(trees, self.roots, strict=True)
            ]
        )
        self.ended, self.success, self.llm_s, self.tokens, self.skills = (
            np.concatenate([getattr(tree, name) for tree in trees])
            for name in ("ended", "success", "llm_s", "tokens", "skills")
        )
        self.later_of = np.concatenate([t.later_of + root for t, root in zip(trees, self.roots, strict=True)])
        self._situations = stacked([tree.situations for tree in trees])
        self._later = stacked([tree.later for tree in trees if tree.later is not None])

    def __len__(self) -> int:
        return len(self.roots)

    def situations(
        self, cap_s: float, cost_weight: float | Floats, later: NDArray[np.int64] | None = None
    ) -> Situation:
        """The situations of all nodes where a task may spend `cap_s` seconds of thinking; or those of some in which
        nothing was new. cost_weight: one for all, or one for each."""
        found = self._situations if later is None else picked(self._later, later)
        at = slice(None) if later is None else self.later_of[later]
        spent, tokens = self.llm_s[at], self.tokens[at]
        shape = (4, found.n)
        return replace(
            found,
            time_s=np.maximum(cap_s - spent, 0.0),
            initial_time_s=np.full(found.n, cap_s),
            tokens=1e6 - tokens,
            initial_tokens=np.full(found.n, 1e6),
            mean_s=np.broadcast_to(self.costs.mean_s[:, None], shape),
            p95_s=np.broadcast_to(self.costs.p95_s[:, None], shape),
            mean_tokens=np.broadcast_to(self.costs.mean_tokens[:, None], shape),
            max_tokens=np.broadcast_to(self.costs.max_tokens[:, None], shape),
            cost_weight=np.broadcast_to(np.asarray(cost_weight, dtype=np.float64), (found.n,)),
        )

    def mask(self, s: Situation) -> NDArray[np.bool_]:
        """(5, nodes): what may be chosen, and was tried."""
        return np.asarray(s.action_mask() & (self.children.T != LEAF))

    def play(self, policy: OrchestratorPolicy, cap_s: float, cost_weight: float = 0.004) -> Outcome:
        """What a policy comes to. A question that was asked since something failed is not asked again, and where
        nothing is new nothing is asked: a rule that does, pays more in a game than here."""
        s = self.situations(cap_s, cost_weight)
        mask = self.mask(s)
        chosen = np.asarray(policy.act(s, s.action_mask()))
        return self.follow(np.where(mask[chosen, np.arange(s.n)], chosen, 0))

    def follow(self, chosen: NDArray[np.int64]) -> Outcome:
        """Where the actions (nodes,) lead."""
        at = self.roots.copy()
        while not self.ended[at].all():
            at = np.where(self.ended[at], at, self.children[at, chosen[at]])
        return Outcome(self.success[at].astype(float), self.llm_s[at], self.tokens[at], self.skills[at], at)

    @cached_property
    def levels(self) -> list[NDArray[np.int64]]:
        """The nodes that have children, those first that are furthest from their roots."""
        depth = np.zeros(len(self.ended), np.int64)
        for node in range(len(depth)):  # parents come first
            kids = self.children[node]
            depth[kids[kids != LEAF]] = depth[node] + 1
        inner = ~self.ended
        return [np.flatnonzero(inner & (depth == level)) for level in range(int(depth.max()), -1, -1)]

    def oracle(self, cap_s: float) -> Outcome:
        """The best end of each tree within a budget: a success, with the fewest seconds of thinking."""
        fits = self.ended & (self.llm_s <= cap_s)
        order = np.lexsort((self.llm_s, ~self.success))
        order = order[fits[order]]
        _, first = np.unique(self.of[order], return_index=True)
        at = order[first]
        return Outcome(self.success[at].astype(float), self.llm_s[at], self.tokens[at], self.skills[at], at)
