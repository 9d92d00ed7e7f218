"""How the shipped planner model carries out a request: level 1 answers at once, level 2 weighs evidence.

A planner at level 2 writes several candidates and keeps the likeliest whole plan: greedy decoding may miss it. A
verifier at level 2 says what the plan would achieve, and weighs the plan against those that the planner would have
written. On 1,000 development annotations how likely the goal is for the plan (a noisy channel: Yee et al., "Simple and
Effective Noisy Channel Modeling for Neural Machine Translation", EMNLP 2019) added nothing, on 150 to 250 neither did
thoughts in words or the verifier's word: level 2 does without them.
"""

from __future__ import annotations

import math
from dataclasses import replace

from rarrl.reasoner import prompt as p
from rarrl.reasoner.base import Request
from rarrl.reasoner.language_model import CallFailedError, Completion, LanguageModel, Outcome
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.types import CallStatus, Role

SAMPLES = 10
TEMPERATURE = 1.0
MAX_PLAN_TOKENS = 64
VERDICT_WEIGHTS = (-0.62, 0.54, 0.30, 0.13)
"""Logistic, fitted on development plans: of 1, of the log-probability's margin over the best rival, of the verifier's
log-odds of ok at level 1 and at level 2."""
MAX_MARGIN = 5.0
"""Larger margins count as this one."""
_TOP = 12  # alternatives told per token of a verdict: two, and five faults


def carry_out(request: Request, model: LanguageModel) -> Outcome:
    """The recipe. Raises: CallFailedError; ValueError where what the model wrote is no answer."""
    if request.role is Role.PLANNER:
        return _plan(request, model) if request.level == 1 else _deliberate(request, model)
    return _verify(request, model) if request.level == 1 else _judge(request, model)


def _plan(request: Request, model: LanguageModel) -> Outcome:
    completion = _written(request, model, p.PLAN)
    return Outcome(_read_plan(completion.text), completion.confidence, completion.text)


def _deliberate(request: Request, model: LanguageModel) -> Outcome:
    """The best candidate; after a failure, the best other one."""
    fresh = replace(request, plan=None, failed=None)
    likely = weigh(fresh, model, candidates(fresh, model, request.max_new_tokens))
    others = {plan: score for plan, score in likely.items() if plan != request.plan} or likely
    best = max(others, key=lambda plan: others[plan])
    return Outcome(best, others[best] / (2 * len(best.steps) + 1), p.plan_json(best))  # two or three tokens a step


def candidates(request: Request, model: LanguageModel, tokens: int) -> list[Plan]:
    """The likeliest plan and sampled ones, each once; at most `tokens` are spent."""
    found: dict[Plan, None] = {}
    for number in range(1 + SAMPLES):
        cap = min(MAX_PLAN_TOKENS, tokens)
        if cap < MAX_PLAN_TOKENS and found:
            break
        tokens -= cap
        try:
            temperature = TEMPERATURE if number else 0.0
            completion = _written(request, model, p.PLAN, temperature, request.seed * 64 + number, cap)
            tokens += cap - completion.tokens_out
            found[_read_plan(completion.text)] = None
        except (CallFailedError, ValueError) as error:
            if isinstance(error, CallFailedError) and error.status is not CallStatus.BUDGET:
                raise
            continue  # a sample that went astray or on and on; there are others
    if not found:
        raise ValueError("answer: none of the samples is a plan")
    return list(found)


def weigh(request: Request, model: LanguageModel, plans: list[Plan]) -> dict[Plan, float]:
    """The log-probability of each whole plan, given the goal."""
    question = p.prompt(p.PLAN, request.goal, request.scene)
    scores = model.score(question, [p.plan_json(plan) + p.END for plan in plans])
    return dict(zip(plans, scores, strict=True))


def _verify(request: Request, model: LanguageModel) -> Outcome:
    completion = _written(request, model, p.VERIFY, alternatives=_TOP)
    return Outcome(_read_verdict(completion), completion.confidence, completion.text)


def _judge(request: Request, model: LanguageModel) -> Outcome:
    """Says what the plan would achieve, writes others, and weighs it against them."""
    assert request.plan is not None
    said = _written(request, model, p.JUDGE, alternatives=_TOP)
    verdict = _read_verdict(said)
    yes = model.score(p.prompt(p.VERIFY, request.goal, plan=request.plan), [p.verdict_json(Verdict(True))])
    planning = replace(request, role=Role.PLANNER, plan=None, failed=None)
    plans = candidates(planning, model, request.max_new_tokens - said.tokens_out)
    likely = weigh(planning, model, list(dict.fromkeys([request.plan, *plans])))
    rivals = {plan: score for plan, score in likely.items() if plan != request.plan}
    best = max(rivals, key=lambda plan: rivals[plan]) if rivals else request.plan
    margin = likely[request.plan] - rivals[best] if rivals else MAX_MARGIN
    p_ok = probability_ok(margin, math.exp(yes[0]), verdict.p_ok)
    if p_ok >= 0.5:
        return Outcome(Verdict(True, None, p_ok), said.confidence, said.text)
    return Outcome(Verdict(False, verdict.fault or difference(request.plan, best), p_ok), said.confidence, said.text)


def probability_ok(margin: float, level_1: float, level_2: float) -> float:
    """margin: of log-probability over the likeliest rival. level_1, level_2: of ok, by the verifier's own word."""
    features = (1.0, max(-MAX_MARGIN, min(MAX_MARGIN, margin)), _logit(level_1), _logit(level_2))
    return 1.0 / (1.0 + math.exp(-sum(w * x for w, x in zip(VERDICT_WEIGHTS, features, strict=True))))


def difference(plan: Plan, better: Plan) -> Fault:
    """What is wrong with a plan if `better` is right."""
    if len(plan.steps) != len(better.steps):
        return Fault.EXTRA if len(plan.steps) > len(better.steps) else Fault.MISSING
    if sorted(map(str, plan.steps)) == sorted(map(str, better.steps)):
        return Fault.ORDER
    things = [(a.arguments[0], b.arguments[0]) for a, b in zip(plan.steps, better.steps, strict=True)]
    return Fault.OBJECT if any(ours != theirs for ours, theirs in things) else Fault.PLACE


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
    role = Role.PLANNER if mark == p.PLAN else Role.VERIFIER
    scene = request.scene if mark == p.PLAN else ()  # verdicts were learnt without
    return model.complete(
        p.prompt(mark, request.goal, scene, request.plan, request.failed),
        schema=p.schema(role, 2 if mark == p.JUDGE else 1),
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
