"""How the shipped planner model carries out a request: level 1 answers at once, level 2 weighs evidence.

A planner at level 2 writes several candidates, some after thinking in words, and keeps the one for which most speaks:
how likely the plan is for the goal, and after each of the thoughts; how likely the goal is for the plan (a noisy
channel: Yee et al., "Simple and Effective Noisy Channel Modeling for Neural Machine Translation", EMNLP 2019); and
what the verifier says. A verifier at level 2 says what the plan would achieve, and weighs the plan against the ones
that the planner would have written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rarrl.reasoner import prompt as p
from rarrl.reasoner.base import Request
from rarrl.reasoner.language_model import CallFailedError, Completion, LanguageModel, Outcome
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.types import CallStatus, Role

DIRECT_SAMPLES = 4
THOUGHT_SAMPLES = 6
TEMPERATURE = 1.0
MAX_PLAN_TOKENS = 64
MAX_THOUGHT_TOKENS = 160
_PLAN_KEY = '"],"plan":'  # where thoughts end
_TOP = 12  # alternatives told per token of a verdict: two, and five faults


@dataclass(frozen=True)
class Evidence:
    """What speaks for a plan: natural logarithms of probabilities.

    plan: of the plan, given the goal. goal: of the goal sentence, given the plan. ok: of the verifier's ok.
    thought: of the plan after a thought, the mean over the thoughts (not below FLOOR); 0 without thoughts."""

    plan: float
    goal: float
    ok: float
    thought: float = 0.0


PLAN_WEIGHTS = Evidence(plan=1.0, goal=0.3, ok=0.3, thought=0.7)
"""Chosen on the development plans, as are the next ones."""
VERDICT_WEIGHTS = (0.0, 0.5, 0.5, 0.2)
FLOOR = -12.0
"""A single thought that leads elsewhere is no proof."""
MARGIN = 10.0
"""Larger differences of evidence count as this one."""


def carry_out(request: Request, model: LanguageModel) -> Outcome:
    """The recipe. Raises: CallFailedError; ValueError where what the model wrote is no answer."""
    if request.role is Role.PLANNER:
        return _plan(request, model) if request.level == 1 else _deliberate(request, model)
    return _verify(request, model) if request.level == 1 else _judge(request, model)


def _plan(request: Request, model: LanguageModel) -> Outcome:
    completion = _written(request, model, p.PLAN)
    return Outcome(_read_plan(completion.text), completion.confidence, completion.text)


def _deliberate(request: Request, model: LanguageModel) -> Outcome:
    found = candidates(request, model)
    evidence = weigh(request, model, found)
    best = max(evidence, key=lambda plan: total(evidence[plan]))
    text = found.texts[best]
    return Outcome(best, evidence[best].plan / max(1, len(best.steps)), text)


@dataclass(frozen=True)
class Candidates:
    """Distinct plans with the longest text that each was read from; the texts with thoughts, up to the plan."""

    texts: dict[Plan, str]
    thoughts: list[str]


def candidates(
    request: Request, model: LanguageModel, thoughts: int = THOUGHT_SAMPLES, tokens: int | None = None
) -> Candidates:
    """The likeliest plan, sampled ones, and those that `thoughts` end in; at most `tokens`, None: the call's cap."""
    found = Candidates({}, [])
    left = tokens or request.max_new_tokens
    turns = [(p.PLAN, 0.0, 0)] + [(p.PLAN, TEMPERATURE, i) for i in range(DIRECT_SAMPLES)]
    turns += [(p.THINK, TEMPERATURE, i) for i in range(thoughts)]
    for mark, temperature, number in turns:
        cap = MAX_PLAN_TOKENS if mark == p.PLAN else MAX_THOUGHT_TOKENS
        if left < cap and found.texts:
            break
        cap = min(cap, left)
        left -= cap
        try:
            completion = _written(request, model, mark, temperature, request.seed * 64 + number, cap)
            left += cap - completion.tokens_out
            plan = _read_plan(completion.text)
        except (CallFailedError, ValueError) as error:
            if isinstance(error, CallFailedError) and error.status is not CallStatus.BUDGET:
                raise
            continue  # a sample that went astray or on and on; there are others
        found.texts[plan] = max(found.texts.get(plan, ""), completion.text, key=len)
        thoughts_text, key, _ = completion.text.rpartition(_PLAN_KEY)
        if key:
            found.thoughts.append(thoughts_text)
    if not found.texts:
        raise ValueError("answer: none of the samples is a plan")
    return found


def weigh(request: Request, model: LanguageModel, found: Candidates) -> dict[Plan, Evidence]:
    """The evidence for each candidate."""
    plans = list(found.texts)
    question = p.prompt(p.PLAN, request.goal, request.scene, request.plan, request.failed)
    likely = model.score(question, [p.plan_json(plan) + p.END for plan in plans])
    thinking = p.prompt(p.THINK, request.goal, request.scene, request.plan, request.failed)
    endings = [f"{_PLAN_KEY}{p.plan_json(plan).partition(':')[2]}{p.END}" for plan in plans]
    after = [model.score(thinking + thought, endings) for thought in found.thoughts]
    return {
        plan: Evidence(
            score,
            model.score(p.describe_prompt(plan), [f" {p.clean(request.goal)}{p.END}"])[0],
            model.score(p.prompt(p.VERIFY, request.goal, plan=plan), [p.verdict_json(Verdict(True))])[0],
            max(FLOOR, _log_mean([scores[i] for scores in after])) if after else 0.0,
        )
        for i, (plan, score) in enumerate(zip(plans, likely, strict=True))
    }


def total(evidence: Evidence) -> float:
    """The weighted sum."""
    w = PLAN_WEIGHTS
    return w.plan * evidence.plan + w.goal * evidence.goal + w.ok * evidence.ok + w.thought * evidence.thought


def _verify(request: Request, model: LanguageModel) -> Outcome:
    completion = _written(request, model, p.VERIFY, alternatives=_TOP)
    return Outcome(_read_verdict(completion), completion.confidence, completion.text)


def _judge(request: Request, model: LanguageModel) -> Outcome:
    """Says what the plan would achieve, thinks of other plans, and weighs them against it."""
    assert request.plan is not None
    said = _written(request, model, p.JUDGE, alternatives=_TOP)
    verdict = _read_verdict(said)
    planning = replace(request, role=Role.PLANNER, plan=None, failed=None)
    rivals = candidates(planning, model, thoughts=0, tokens=request.max_new_tokens - said.tokens_out)
    rivals.texts.setdefault(request.plan, "")
    evidence = weigh(planning, model, rivals)
    p_ok = probability_ok(verdict.p_ok, evidence, request.plan)
    ok = p_ok >= 0.5
    fault = None if ok else verdict.fault or difference(request.plan, max(evidence, key=lambda q: total(evidence[q])))
    return Outcome(Verdict(ok, fault, p_ok), said.confidence, said.text)


def probability_ok(said: float, evidence: dict[Plan, Evidence], plan: Plan) -> float:
    """Logistic in what the verifier says at either level, and in how far the evidence for `plan` exceeds its best
    rival's. said: the probability of ok at level 2."""
    margin = total(evidence[plan]) - max((total(e) for q, e in evidence.items() if q != plan), default=-math.inf)
    features = (1.0, max(-MARGIN, min(MARGIN, margin)), _logit(math.exp(evidence[plan].ok)), _logit(said))
    return 1.0 / (1.0 + math.exp(-sum(w * x for w, x in zip(VERDICT_WEIGHTS, features, strict=True))))


def difference(plan: Plan, better: Plan) -> Fault:
    """What is wrong with a plan if `better` is right."""
    if len(plan.steps) != len(better.steps):
        return Fault.EXTRA if len(plan.steps) > len(better.steps) else Fault.MISSING
    if sorted(map(str, plan.steps)) == sorted(map(str, better.steps)):
        return Fault.ORDER
    things = [(a.arguments[0], b.arguments[0]) for a, b in zip(plan.steps, better.steps, strict=True)]
    return Fault.OBJECT if any(ours != theirs for ours, theirs in things) else Fault.PLACE


def _log_mean(logs: list[float]) -> float:
    """The logarithm of the mean of exp(logs)."""
    highest = max(logs)
    return highest + math.log(sum(math.exp(x - highest) for x in logs) / len(logs))


def _logit(probability: float) -> float:
    inside = min(max(probability, 1e-4), 1 - 1e-4) if not math.isnan(probability) else 0.5
    return math.log(inside / (1 - inside))


def _written(
    request: Request,
    model: LanguageModel,
    mark: str,
    temperature: float = 0.0,
    seed: int = 0,
    max_tokens: int | None = None,
    alternatives: int = 0,
) -> Completion:
    role = Role.PLANNER if mark in (p.PLAN, p.THINK) else Role.VERIFIER
    level = 2 if mark in (p.THINK, p.JUDGE) else 1
    return model.complete(
        p.prompt(mark, request.goal, request.scene, request.plan, request.failed),
        schema=p.schema(role, level),
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        alternatives=alternatives,
    )


def _read_plan(text: str) -> Plan:
    plan = p.parse(text, Role.PLANNER)
    assert isinstance(plan, Plan)
    return plan


def _read_verdict(completion: Completion) -> Verdict:
    verdict = p.parse(completion.text, Role.VERIFIER)
    assert isinstance(verdict, Verdict)
    return Verdict(verdict.ok, verdict.fault, p.p_ok(completion.alternatives))
