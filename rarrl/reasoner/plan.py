"""What language models answer: plans (`rarrl.skills.plan.Plan`), and verdicts on plans."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rarrl.skills.plan import Plan as Plan


class Fault(str, Enum):
    """What a verifier finds wrong with a plan."""

    OBJECT = "wrong object"
    PLACE = "wrong place"
    ORDER = "wrong order"
    MISSING = "missing step"
    EXTRA = "extra step"


@dataclass(frozen=True)
class Verdict:
    """A verifier's answer. fault: None if the plan is ok. p_ok: the model's probability of ok, NaN if unknown."""

    ok: bool
    fault: Fault | None = None
    p_ok: float = float("nan")
