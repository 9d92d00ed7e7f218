"""The table of many missions: what each policy came to with each language model, intervals, and what it means in a
sentence. Missions are paired: every policy met the same ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rarrl.report.runs import wilson
from rarrl.results import Figure

from .trace import MissionResult

HEAD = ("policy", "done", "95 % interval", "more than never", "more than always", "mission", "LLM", "tokens", "calls")
NOTE = (
    "done: missions; more than never, than always: points of success on the same missions, with their 95 % interval; "
    "mission, LLM, tokens, calls: means a mission."
)
REFERENCES = ("never", "always")


@dataclass(frozen=True)
class Row:
    """What a policy's n missions came to. done: how many were; low, high: 95 % of that share, Wilson's, 0 to 1.

    gains: points of success more than each of REFERENCES, on the same missions; none over itself. mission_s (simulated,
    thinking included), llm_s, tokens, calls: means; collisions: sum."""

    policy: str
    n: int
    done: int
    low: float
    high: float
    gains: Mapping[str, Figure]
    mission_s: float
    llm_s: float
    tokens: float
    calls: float
    collisions: int

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of HEAD."""
        return (
            self.policy,
            f"{self.done} of {self.n}",
            f"{100 * self.low:.0f} to {100 * self.high:.0f} %",
            *(points(self.gains[name]) if name in self.gains else "" for name in REFERENCES),
            f"{self.mission_s:.0f} s",
            f"{self.llm_s:.2g} s" if self.llm_s < 10 else f"{self.llm_s:.0f} s",
            f"{self.tokens:.0f}",
            f"{self.calls:.1f}",
        )


@dataclass(frozen=True)
class Block:
    """The missions played with calls that cost what those of one language model do. thinker: its name; call_s: mean
    seconds of a plan; results: by policy, the same missions in the same order."""

    thinker: str
    call_s: float
    results: Mapping[str, tuple[MissionResult, ...]]

    @classmethod
    def of(cls, thinker: str, call_s: float, played: Mapping[str, Sequence[MissionResult]]) -> Block:
        """Of the missions that every policy played, in the order of their seeds: a run that was interrupted has more of
        some."""
        common = set.intersection(*({r.seed for r in own} for own in played.values())) if played else set()
        by_policy = {
            policy: tuple(sorted((r for r in own if r.seed in common), key=lambda r: r.seed))
            for policy, own in played.items()
        }
        return cls(thinker, call_s, by_policy)

    @property
    def n(self) -> int:
        """Missions of each policy."""
        return len(next(iter(self.results.values()), ()))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the missions."""
        return tuple(r.seed for r in next(iter(self.results.values()), ()))

    @property
    def title(self) -> str:
        """Whose calls these are, and how long one takes."""
        return f"Calls as long as those of {self.thinker}: {self.call_s:.2g} s for a plan"

    def rows(self) -> list[Row]:
        """One for each policy."""
        return [self._row(policy) for policy in self.results]

    def _row(self, policy: str) -> Row:
        own = self.results[policy]
        n = len(own)
        done = sum(r.success for r in own)
        mean = {name: float(np.mean([getattr(r, name) for r in own])) for name in ("mission_s", "llm_s", "tokens")}
        others = [name for name in REFERENCES if name in self.results and name != policy]
        return Row(
            policy,
            n,
            done,
            *wilson(done, n),
            gains={name: self.gain(policy, name) for name in others},
            **mean,
            calls=float(np.mean([r.calls for r in own])),
            collisions=sum(r.collisions for r in own),
        )

    def gain(self, policy: str, over: str) -> Figure:
        """Points of success of `policy` above those of `over`, mission by mission."""
        pairs = zip(self.results[policy], self.results[over], strict=True)
        d = [int(a.success) - int(b.success) for a, b in pairs]
        low, high = paired_interval(d.count(1), d.count(-1), len(d))
        return Figure(round(100 * sum(d) / len(d), 3), "points", len(d), round(100 * low, 3), round(100 * high, 3))

    def meaning(self) -> str:
        """In plain words: who does best with these calls, and whether that is more than chance."""
        rows = {row.policy: row for row in self.rows()}
        ours = [row for name, row in rows.items() if is_ours(name)]
        rivals = [row for name, row in rows.items() if not is_ours(name)]
        if not ours or not rivals or not self.n:
            return f"With calls as long as those of {self.thinker}, nothing can be compared yet."

        mine = ours[-1]
        best = max(rivals, key=lambda row: (row.done, -row.llm_s))
        gain = self.gain(mine.policy, best.policy)
        assert gain.lo is not None and gain.hi is not None
        verdict = f"no difference that {self.n} missions can show"
        if gain.lo > 0 or gain.hi < 0:
            verdict = f"{mine.policy if gain.lo > 0 else best.policy} is better, by more than chance"
        told = (
            f"With calls as long as those of {self.thinker}, {mine.policy} does {mine.done} of {self.n} missions "
            f"against {best.done} by {best.policy}, its best rival ({points(gain)}): {verdict}. It thinks "
            f"{_less(mine.llm_s, best.llm_s)}, and a mission takes {_shorter(self.seconds(mine.policy, best.policy))}."
        )
        for other in ours[:-1]:
            told += (
                f" Against {other.policy}, which does {other.done}, that is "
                f"{points(self.gain(mine.policy, other.policy))} points, and a mission takes "
                f"{_shorter(self.seconds(mine.policy, other.policy))}."
            )
        return told

    def seconds(self, policy: str, other: str) -> Figure:
        """How much longer a mission takes with `policy` than with `other`, seconds, mission by mission."""
        pairs = zip(self.results[policy], self.results[other], strict=True)
        d = np.array([a.mission_s - b.mission_s for a, b in pairs])
        spread = 1.959964 * float(d.std(ddof=1)) / math.sqrt(len(d)) if len(d) > 1 else math.inf
        mean = float(d.mean())
        return Figure(mean, "s a mission", len(d), mean - spread, mean + spread)


def is_ours(policy: str) -> bool:
    """Whether a row is of a policy that learned when to think; the others are rules, its rivals."""
    return policy.startswith("learned")


def paired_interval(won: int, lost: int, n: int) -> tuple[float, float]:
    """95 % of the difference of two shares on the same n missions, of which `won` were done by the first alone and
    `lost` by the second alone. Half a mission is added to each of the four kinds, so that no difference seen is not
    taken for certainty (Agresti and Min, Statistics in Medicine 24, 2005).

    >>> [round(x, 3) for x in paired_interval(0, 0, 100)]
    [-0.019, 0.019]
    """
    more = n + 2
    middle = (won - lost) / more
    spread = 1.959964 * math.sqrt((won + lost + 1) / more - middle * middle) / math.sqrt(more)
    return max(middle - spread, -1.0), min(middle + spread, 1.0)


def points(gain: Figure) -> str:
    """A difference with its interval.

    >>> points(Figure(4.0, "points", 100, -1.0, 9.0))
    '+4 [-1, +9]'
    """
    assert gain.lo is not None and gain.hi is not None
    value, low, high = (f"{round(x):+d}" if round(x) else "0" for x in (gain.value, gain.lo, gain.hi))
    return f"{value} [{low}, {high}]"


def _less(mine: float, theirs: float) -> str:
    """
    >>> _less(0.1, 1.0), _less(2.0, 1.0), _less(1.0, 0.0)
    ('90 % less', '100 % longer', '1 s a mission')
    """
    if not theirs:
        return f"{mine:.2g} s a mission"
    share = 100 * (mine / theirs - 1)
    return f"{abs(share):.0f} % {'less' if share < 0 else 'longer'}"


def _shorter(longer: Figure) -> str:
    """
    >>> _shorter(Figure(-4.2, "s", 100, -6.0, -2.0)), _shorter(Figure(1.0, "s", 100, -1.0, 3.0))
    ('4.2 [2.0, 6.0] s less', '1.0 [-1.0, 3.0] s more')
    """
    assert longer.lo is not None and longer.hi is not None
    if longer.value < 0:
        return f"{-longer.value:.1f} [{-longer.hi:.1f}, {-longer.lo:.1f}] s less"
    return f"{longer.value:.1f} [{longer.lo:.1f}, {longer.hi:.1f}] s more"


def figures_of(blocks: Sequence[Block]) -> dict[str, Figure]:
    """Of every policy with every language model: success, and the differences."""
    figures = {}
    for block in blocks:
        for row in block.rows():
            name = f"{row.policy}_{block.thinker}".replace(" ", "_")
            share = Figure(
                round(row.done / row.n, 4), "share of missions done", row.n, round(row.low, 4), round(row.high, 4)
            )
            figures[f"success_{name}"] = share
            figures |= {f"gain_over_{other}_{name}": gain for other, gain in row.gains.items()}
            figures[f"mission_s_{name}"] = Figure(round(row.mission_s, 2), "s simulated, mean", row.n)
    return figures


def tables_of(blocks: Sequence[Block]) -> dict[str, Any]:
    """The table for a results document: by language model, a row for each policy, and what they mean."""
    return {
        block.thinker: {
            "call_s": round(block.call_s, 4),
            "missions": [min(block.seeds), max(block.seeds)],
            "meaning": block.meaning(),
            "rows": [
                {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(row).items()}
                for row in block.rows()
            ],
        }
        for block in blocks
    }


def to_json(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """The blocks with every mission, for `from_json`."""
    return [
        {
            "thinker": block.thinker,
            "call_s": block.call_s,
            "results": {name: [asdict(r) for r in own] for name, own in block.results.items()},
        }
        for block in blocks
    ]


def from_json(stored: Sequence[Mapping[str, Any]]) -> list[Block]:
    """What `to_json` made. Raises: ValueError, KeyError, TypeError, AttributeError for anything else."""
    return [
        Block(
            str(entry["thinker"]),
            float(entry["call_s"]),
            {name: tuple(MissionResult(**r) for r in own) for name, own in entry["results"].items()},
        )
        for entry in stored
    ]
