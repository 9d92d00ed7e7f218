"""How the shipped planner model carries out a request: level 1 answers at once, level 2 weighs evidence.

Level 2 uses what the robot knows about its home (`Request.scene`), because goals are vague ("the table") and homes are
not. A planner at level 2 writes several candidate plans with the things that there are, and keeps the greedy one unless
another plan is much more likely. A verifier at level 2 checks whether the home has what the plan names, says what the
plan would achieve, and compares it with the plans that the planner would have written.

Three further ideas added nothing and were left out: the likelihood of the goal given the plan (a noisy channel: Yee et
al., "Simple and Effective Noisy Channel Modeling for Neural Machine Translation", EMNLP 2019), on 1,000 development
annotations; thoughts in words before the plan, and the verifier's opinion of each candidate, on 150 to 250.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from rarrl.reasoner import prompt as p
from rarrl.reasoner import scope
from rarrl.reasoner.base import Request
from rarrl.reasoner.language_model import CallFailedError, CallOutcome, Completion, LanguageModel, Recipe
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.reasoner.vocabulary import ALFRED
from rarrl.types import CallStatus, Role

TRAINED = "rarrl planner"
"""What a model file that `rarrl train planner` writes calls itself (`general.name`)."""
SAMPLES = 10
"""Plans that level 2 samples besides the greedy one; as many as its token cap pays for."""
TEMPERATURE = 1.0
"""Temperature of these samples: the model's own distribution."""
MAX_PLAN_TOKENS = 64
"""Tokens of one candidate plan; ALFRED's longest plan, 8 steps of two or three tokens, needs about 24."""
VERDICT_WEIGHTS = (-0.62, 0.54, 0.30, 0.13)
"""Weights of a logistic regression, fitted on development plans. Its inputs are 1, the margin in log-probability over
the best rival plan, and the verifier's log-odds of ok at level 1 and at level 2."""
SURELY = 1.0
"""Log-probability (nats) by which a sampled plan must be more likely than the greedy one to replace it. Chosen by
hand."""
MISSING_WEIGHT = -3.0
"""Log-odds for each class that the plan names and the home lacks: of 28 such plans on 350 development goals 3 were
right."""
MAX_MARGIN = 5.0
"""Nats: larger margins over the best rival count as this one. Chosen by hand."""
_TOP = 12
"""Alternatives asked for per token of a verdict: two openings, each with ok or one of five faults (`json_pieces`)."""


def carry_out(request: Request, model: LanguageModel) -> CallOutcome:
    """Carries out a request, and abstains from a goal that the model was not made for (`scope`).

    What the plan does that nobody asked for is left out, and a verifier does not call a plan ok of which the goal is no
    description. Raises: CallFailedError, REFUSED too; ValueError if the text is no answer."""
    check_domain(request)
    scope.check_readable(request)
    outcome = as_trained(request, model)
    if isinstance(outcome.result, Verdict):
        return _doubted(request, model, outcome)

    assert isinstance(outcome.result, Plan)
    plans = scope.grounded(outcome.result, request.goal)
    if request.level == 2:  # level 2 plans with the things that there are
        plans = [plan for plan in plans if plan == plans[0] or not missing(plan, request.scene)]
    plan, word_nats = scope.explained(request, model, plans)
    confidence = outcome.confidence
    if plan != outcome.result:
        confidence = min(confidence, _per_token(plan, weigh(request, model, [plan])[plan]))

    seen = scope.Evidence(word_nats, -outcome.confidence, scope.unspoken(outcome.result, request.goal))
    if seen.p_in_scope < 0.5:
        raise CallFailedError(CallStatus.REFUSED, scope.ABSTAINS)
    if seen.p_right < scope.MIN_RIGHT:
        why = f"no plan that is likely enough; the best one is right with a probability of {seen.p_right:.2f}: {plan}"
        raise CallFailedError(CallStatus.REFUSED, why)
    return CallOutcome(plan, confidence, outcome.text, seen.p_right)


def check_domain(request: Request) -> None:
    """Raises: CallFailedError (REFUSED) where the request is of another robot than the model was trained for."""
    if request.domain is not None:
        raise CallFailedError(
            CallStatus.REFUSED,
            "this model was trained on ALFRED's household alone and does not know this robot's skills; ask a chat "
            "model (llama:PATH.gguf or openai:URL#MODEL)",
        )


def recipe_for(model: str) -> Recipe:
    """Returns the recipe for a file without a chat template, by the name that it gives itself: only models that
    `rarrl train planner` has made can tell that a goal is no description of a plan."""
    return carry_out if model == TRAINED else as_trained


def as_trained(request: Request, model: LanguageModel) -> CallOutcome:
    """Carries out a request whatever the goal says: the model always answers. For comparisons; a robot uses
    `carry_out`. Raises: CallFailedError; ValueError if the text is no answer."""
    check_domain(request)
    if request.role is Role.PLANNER:
        return _plan(request, model) if request.level == 1 else _deliberate(request, model)
    return _verify(request, model) if request.level == 1 else _judge(request, model)


def _doubted(request: Request, model: LanguageModel, outcome: CallOutcome) -> CallOutcome:
    """A verdict that is not ok where the goal is no description of the plan."""
    verdict = outcome.result
    assert isinstance(verdict, Verdict) and request.plan is not None
    if not verdict.ok:
        return outcome

    _, word_nats = scope.explained(request, model, [request.plan])
    if word_nats <= scope.MAX_WORD_NATS:
        return outcome
    return replace(outcome, result=Verdict(False, Fault.OBJECT, min(verdict.p_ok, 0.5)))


def _plan(request: Request, model: LanguageModel) -> CallOutcome:
    completion = _written(request, model, p.PLAN)
    return CallOutcome(_read_plan(completion.text), completion.confidence, completion.text)


def _per_token(plan: Plan, score: float) -> float:
    """Returns the mean log-probability of a token of `plan`: its steps have two or three."""
    return score / (2 * len(plan.steps) + 1)


def _deliberate(request: Request, model: LanguageModel) -> CallOutcome:
    """Finds the best plan with the things of the home; after a failure, the best plan other than the one that
    failed."""
    fresh = replace(request, plan=None, failed=None)
    likely = weigh(fresh, model, candidates(fresh, model, request.max_new_tokens))
    others = {plan: score for plan, score in likely.items() if plan != request.plan} or likely
    first = next(iter(others))

    best = max(others, key=lambda plan: others[plan])
    if others[best] < others[first] + SURELY:
        best = first

    return CallOutcome(best, _per_token(best, others[best]), p.plan_json(best))


def candidates(request: Request, model: LanguageModel, tokens: int) -> list[Plan]:
    """Writes the most likely plan and sampled ones, each once, with at most `tokens` tokens.

    Raises: CallFailedError; ValueError if none of the texts is a plan."""

    def write(temperature: float, seed: int, cap: int) -> Completion:
        return _written(request, model, p.PLAN, temperature, seed, cap, home=request.scene)

    return sampled(write, _read_plan, request.seed, tokens)


def sampled(
    write: Callable[[float, int, int], Completion],
    read: Callable[[str], Plan],
    seed: int,
    tokens: int,
    samples: int = SAMPLES,
    plan_tokens: int = MAX_PLAN_TOKENS,
    time_left: Callable[[], bool] = lambda: True,
) -> list[Plan]:
    """Writes the most likely plan and at most `samples` others, each once, with at most `tokens` tokens.

    write: takes a temperature, a seed and a cap on tokens. read: makes a plan of the text, or raises ValueError.
    plan_tokens: cap of one plan. time_left: asked before each plan but the first.

    Raises: CallFailedError; ValueError if none of the texts is a plan."""
    found: dict[Plan, None] = {}
    for number in range(1 + samples):
        cap = min(plan_tokens, tokens)
        if found and (cap < plan_tokens or not time_left()):
            break

        tokens -= cap
        try:
            completion = write(TEMPERATURE if number else 0.0, seed * 64 + number, cap)
            tokens += cap - completion.tokens_out
            found[read(completion.text)] = None
        except (CallFailedError, ValueError) as error:
            if isinstance(error, CallFailedError) and error.status is not CallStatus.BUDGET:
                raise
            continue  # this sample is no plan or does not end; there are others

    if not found:
        raise ValueError("answer: none of the samples is a plan")
    return list(found)


def weigh(request: Request, model: LanguageModel, plans: list[Plan]) -> dict[Plan, float]:
    """Returns the log-probability of each whole plan given the goal, in nats."""
    question = p.prompt(p.PLAN, request.goal)
    scores = model.score(question, [p.plan_json(plan) + p.END for plan in plans])
    return dict(zip(plans, scores, strict=True))


def _verify(request: Request, model: LanguageModel) -> CallOutcome:
    completion = _written(request, model, p.VERIFY, alternatives=_TOP)
    return CallOutcome(_read_verdict(completion), completion.confidence, completion.text)


def _judge(request: Request, model: LanguageModel) -> CallOutcome:
    """Says what the plan would achieve, writes other plans, and compares it with them."""
    given = request.plan
    assert given is not None
    said = _written(request, model, p.JUDGE, alternatives=_TOP)
    verdict = _read_verdict(said)
    yes = model.score(p.prompt(p.VERIFY, request.goal, plan=given), [p.verdict_json(Verdict(True))])
    planning = replace(request, role=Role.PLANNER, plan=None, failed=None)
    plans = candidates(planning, model, request.max_new_tokens - said.tokens_out)
    likely = weigh(planning, model, list(dict.fromkeys([given, *plans])))
    rivals = {plan: score for plan, score in likely.items() if plan != given}
    best = max(rivals, key=lambda plan: rivals[plan]) if rivals else given
    margin = likely[given] - rivals[best] if rivals else MAX_MARGIN

    p_ok = probability_ok(margin, math.exp(yes[0]), verdict.p_ok, missing(given, request.scene))
    if p_ok >= 0.5:
        return CallOutcome(Verdict(True, None, p_ok), said.confidence, said.text)
    return CallOutcome(Verdict(False, verdict.fault or difference(given, best), p_ok), said.confidence, said.text)


def probability_ok(margin: float, level_1: float, level_2: float, absent: int = 0) -> float:
    """Returns the probability that a plan is right.

    margin: log-probability over the most likely rival plan, nats. level_1, level_2: the verifier's own probabilities of
    ok. absent: how many classes the plan names that the home lacks."""
    features = (1.0, max(-MAX_MARGIN, min(MAX_MARGIN, margin)), _logit(level_1), _logit(level_2))
    odds = sum(w * x for w, x in zip(VERDICT_WEIGHTS, features, strict=True)) + MISSING_WEIGHT * absent
    return 1.0 / (1.0 + math.exp(-odds))


def missing(plan: Plan, home: Sequence[str]) -> int:
    """Counts the classes that `plan` names and `home` lacks, as far as it is known (`Vocabulary.lacking`)."""
    return len(ALFRED.lacking((name for step in plan.steps for name in step.arguments), home))


def difference(plan: Plan, better: Plan) -> Fault:
    """Returns what is wrong with `plan` if `better` is right."""
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
