"""Makes parts from the words that a user gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rarrl.clock import Clock
from rarrl.errors import InputError
from rarrl.reasoner.base import Reasoner, Request
from rarrl.reasoner.breaker import CircuitBreaker, GuardedReasoner
from rarrl.reasoner.card import checked_model
from rarrl.reasoner.checker import OperatorPolicy
from rarrl.reasoner.plan import Plan
from rarrl.strict_json import short

REASONERS = "llama (the shipped model), llama:PATH.gguf, openai:URL#MODEL, profile:NAME"
"""What `make_reasoner` understands."""
SHIPPED_MODELS = Path(__file__).resolve().parent / "models" / "planner"


def make_reasoner(
    spec: str,
    *,
    policy: OperatorPolicy | None = None,
    threads: int = 1,
    plans: Mapping[str, Plan] | None = None,
    seed: int = 0,
    clock: Clock | None = None,
) -> GuardedReasoner:
    """The reasoner that `spec` names, behind the circuit breaker and the plan checker. Close it after use.

    Args:
        policy: the operator's; None: the checker's default.
        threads: of llama.cpp.
        plans: of `profile:` alone: goal sentence -> right plan.
        seed: of `profile:` alone: of its draws.
        clock: of `profile:` alone, and of the circuit breaker's cool-down.

    Raises: InputError: an unknown form, a model that cannot be loaded, a bad URL, no such profile.
        DependencyMissingError without llama-cpp-python."""
    kind, _, rest = spec.partition(":")
    if kind == "llama" and spec != "llama:":
        from rarrl.reasoner.llama import LlamaReasoner

        backend: Reasoner = LlamaReasoner(llama_file(spec), threads=threads)
    elif kind == "openai" and rest:
        from rarrl.reasoner.openai import OpenAiReasoner

        url, _, model = rest.partition("#")
        backend = OpenAiReasoner(url, model)
    elif kind == "profile" and rest:
        backend = _replayed(rest, plans, seed, clock)
    else:
        raise InputError(f"language model: {short(spec)} is not known (allowed: {REASONERS})")
    return GuardedReasoner(backend, policy, CircuitBreaker(clock=clock))


def llama_file(spec: str) -> Path:
    """The GGUF file of `llama` or `llama:PATH`. Raises: InputError."""
    kind, _, rest = spec.partition(":")
    if kind != "llama" or (not rest and spec != "llama"):
        raise InputError(f"language model: {short(spec)} is no llama.cpp model (allowed: llama, llama:PATH.gguf)")
    return checked_model(Path(rest) if rest else shipped_model())


def shipped_model() -> Path:
    """The planner that comes with the package. Raises: InputError where it is not there."""
    found = sorted(SHIPPED_MODELS.glob("*.gguf"))
    if not found:
        raise InputError(f"language model: no *.gguf in {SHIPPED_MODELS}; install rarrl again, or give llama:PATH.gguf")
    return found[0]


def _replayed(name: str, plans: Mapping[str, Plan] | None, seed: int, clock: Clock | None) -> Reasoner:
    from rarrl.latency.profile import MAX_SECONDS, load_profile
    from rarrl.reasoner.replayed import ReplayedCall, ReplayedReasoner

    profile = load_profile(name)
    rng = np.random.default_rng(seed)

    def draw(request: Request) -> ReplayedCall:
        if profile.parametric is not None:
            option = next(o for o in profile.parametric if (o.role, o.level) == (request.role.value, request.level))
            seconds = min(float(rng.lognormal(option.mu, option.sigma)), MAX_SECONDS)
            finish = "error" if rng.random() < option.error_rate else "stop"
            return ReplayedCall(math.nan, seconds, option.tokens_in, option.tokens_out, finish)
        records = [r for r in profile.records or () if (r.role, r.level) == (request.role.value, request.level)]
        record = records[int(rng.integers(len(records)))]
        return ReplayedCall(record.ttft_s, record.total_s, record.tokens_in, record.tokens_out, record.finish)

    for role, level in (("planner", 1), ("planner", 2), ("verifier", 1), ("verifier", 2)):
        profile.require(role, level)
    return ReplayedReasoner(f"profile:{profile.name}", draw, plans, clock)
