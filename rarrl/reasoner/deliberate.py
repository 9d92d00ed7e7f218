"""How the shipped planner model carries out a request: level 1 answers at once, level 2 weighs evidence.

What the robot knows of its home (`Request.scene`) is looked up at level 2: goals are vague ("the table"), homes are
not. A planner at level 2 writes several candidates of what there is, and keeps the greedy one unless another whole plan
is much likelier. A verifier at level 2 looks whether what the plan names is there, says what the plan would achieve,
and weighs it against those that the planner would have written.

On 1,000 development annotations how likely the goal is for the plan (a noisy channel: Yee et al., "Simple and Effective
Noisy Channel Modeling for Neural Machine Translation", EMNLP 2019) added nothing, on 150 to 250 neither did thoughts in
words or the verifier's word: level 2 does without them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rarrl.reasoner import prompt as p
from rarrl.reasoner.base import Request
from rarrl.reasoner.language_model import CallFailedError, CallOutcome, Completion, LanguageModel
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.types import CallStatus, Role

SAMPLES = 10
TEMPERATURE = 1.0
MAX_PLAN_TOKENS = 64
VERDICT_WEIGHTS = (-0.62, 0.54, 0.30, 0.13)
"""Logistic, fitted on development plans: of 1, of the log-probability's margin over the best rival, of the verifier's
log-odds of ok at level 1 and at level 2."""
SURELY = 1.0
"""By so much log-probability a sampled plan must be likelier than the greedy one to take its place."""
MISSING_WEIGHT = -3.0
"""Of each class that the plan names and the home has not: 3 of 28 such plans on 350 development goals were right."""
MAX_MARGIN = 5.0
"""Larger margins count as this one."""
_TOP = 12  # alternatives told per token of a verdict: two, and five faults


def carry_out(request: Request, model: LanguageModel) -> CallOutcome:
    """The recipe. Raises: CallFailedError; ValueError where what the model wrote is no answer."""
    if request.role is Role.PLANNER:
        return _plan(request, model) if request.level == 1 else _deliberate(request, model)
    return _verify(request, model) if request.level == 1 else _judge(request, model)


def _plan(request: Request, model: LanguageModel) -> CallOutcome:
    completion = _written(request, model, p.PLAN)
    return CallOutcome(_read_plan(completion.text), completion.confidence, completion.text)


def _deliberate(request: Request, model: LanguageModel) -> CallOutcome:
    """The best candidate of what there is in the home; after a failure, the best other one."""
    fresh = replace(request, plan=None, failed=None)
    likely = weigh(fresh, model, candidates(fresh, model, request.max_new_tokens))
    others = {plan: score for plan, score in likely.items() if plan != request.plan} or likely
    first = next(iter(others))

    best = max(others, key=lambda plan: others[plan])
    if others[best] < others[first] + SURELY:
        best = first

    return CallOutcome(best, others[best] / (2 * len(best.steps) + 1), p.plan_json(best))  # two or three tokens a step


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
            seed = request.seed * 64 + number
            completion = _written(request, model, p.PLAN, temperature, seed, cap, home=request.scene)
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
    question = p.prompt(p.PLAN, request.goal)
    scores = model.score(question, [p.plan_json(plan) + p.END for plan in plans])
    return dict(zip(plans, scores, strict=True))


def _verify(request: Request, model: LanguageModel) -> CallOutcome:
    completion = _written(request, model, p.VERIFY, alternatives=_TOP)
    return CallOutcome(_read_verdict(completion), completion.confidence, completion.text)


def _judge(request: Request, model: LanguageModel) -> CallOutcome:
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

    p_ok = probability_ok(margin, math.exp(yes[0]), verdict.p_ok, missing(request.plan, request.scene))
    if p_ok >= 0.5:
        return CallOutcome(Verdict(True, None, p_ok), said.confidence, said.text)
    return CallOutcome(
        Verdict(False, verdict.fault or difference(request.plan, best), p_ok), said.confidence, said.text
    )


def probability_ok(margin: float, level_1: float, level_2: float, absent: int = 0) -> float:
    """margin: of log-probability over the likeliest rival. level_1, level_2: of ok, by the verifier's own word. absent:
    how many classes of the plan the home has not."""
    features = (1.0, max(-MAX_MARGIN, min(MAX_MARGIN, margin)), _logit(level_1), _logit(level_2))
    odds = sum(w * x for w, x in zip(VERDICT_WEIGHTS, features, strict=True)) + MISSING_WEIGHT * absent
    return 1.0 / (1.0 + math.exp(-odds))


def missing(plan: Plan, home: Sequence[str]) -> int:
    """How many classes `plan` names that are not in `home`; 0 where nothing is known of it."""
    return len({name for step in plan.steps for name in step.arguments} - set(home)) if home else 0


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
    home: Sequence[str] = (),
) -> Completion:
    role = Role.PLANNER if mark == p.PLAN else Role.VERIFIER
    return model.complete(
        p.prompt(mark, request.goal, plan=request.plan, failed=request.failed),
        schema=p.schema(role, 2 if mark == p.JUDGE else 1, home),
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
