"""How the shipped planner model carries out a request: level 1 answers at once, level 2 weighs evidence.

Level 2 uses what the robot knows about its home (`Request.scene`) and about what has failed, because goals are vague
("the table") and homes are not. It weighs several plans: the one that level 1 writes, the likeliest one with the things
that there are, and those of a second reader of the sentence (`goal_reader`) that knows what was seen. Each plan gets
the probability that it is the right one, by what both say. A planner takes the likeliest plan other than the one that
failed, a verifier answers with the probability of the plan that it was given.

Ideas that added nothing and were left out: sampled plans (the right one is among the second reader's as often), the
likelihood of the goal given the plan (a noisy channel: Yee et al., "Simple and Effective Noisy Channel Modeling for
Neural Machine Translation", EMNLP 2019), the verifier's own opinion, thoughts in words before the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from rarrl.alfred_plans import ALFRED_DOMAIN, normal_form, same_plan
from rarrl.reasoner import prompt as p
from rarrl.reasoner import scope
from rarrl.reasoner.base import Request
from rarrl.reasoner.goal_reader import goal_of, plan_of, shipped_goal_reader
from rarrl.reasoner.language_model import CallFailedError, CallOutcome, Completion, LanguageModel, Recipe
from rarrl.reasoner.plan import Fault, Plan, Verdict
from rarrl.reasoner.vocabulary import ALFRED
from rarrl.types import CallStatus, Role

TRAINED = "rarrl planner"
"""What a model file that `rarrl train planner` writes calls itself (`general.name`)."""
TEMPERATURE = 1.0
"""Temperature of sampled plans: the model's own distribution."""
MAX_PLAN_TOKENS = 64
"""Tokens of one plan; ALFRED's longest plan, 8 steps of two or three tokens, needs about 24."""
READ_PLANS = 6
"""Plans of the second reader that level 2 weighs. On 404 development goals the right one was among these and level 1's
in 98 %."""
WORTH = (0.44, 0.36)
"""Weights of a plan's log-probability by the model and by the second reader, in nats: a conditional logit, fitted on
750 development goals (`benchmarks/level_2.py`). They sum to less than 1 because both read the same sentence."""
SURELY = 1.0
"""Log-probability (nats) by which a sampled plan must be more likely than the greedy one to replace it, for general
models. Chosen by hand."""
P_MISSING = 0.05
"""Probability that a plan is right which names what the home lacks: of 28 such plans on 350 development goals 3 were
right."""
_TOP = 12
"""Alternatives asked for per token of a verdict: two openings, each with ok or one of five faults (`json_pieces`)."""


def carry_out(request: Request, model: LanguageModel) -> CallOutcome:
    """Carries out a request, and abstains from a goal that the model was not made for (`scope`).

    What the plan does that nobody asked for is left out, and a verifier does not call a plan ok of which the goal is no
    description. Raises: CallFailedError, REFUSED too; ValueError if the text is no answer."""
    check_domain(request)
    scope.check_readable(request)
    if request.role is Role.VERIFIER:
        return _doubted(request, model, as_trained(request, model))

    first = _plan(request if request.level == 1 else _fresh(request), model)
    assert isinstance(first.result, Plan)
    plan, word_nats = scope.explained(request, model, scope.grounded(first.result, request.goal))
    seen = scope.Evidence(word_nats, -first.confidence, scope.unspoken(first.result, request.goal))
    if seen.p_in_scope < 0.5:
        raise CallFailedError(CallStatus.REFUSED, scope.ABSTAINS)

    outcome = first
    p_right = seen.p_right
    if request.level == 2:
        outcome = _deliberate(request, model, replace(first, result=plan))
        p_right = outcome.p_right
    elif plan != first.result:
        written = _per_token(plan, weigh(request, model, [plan])[plan])
        outcome = replace(first, result=plan, confidence=min(first.confidence, written))

    if p_right < scope.MIN_RIGHT:
        best = f"the best one is right with a probability of {p_right:.2f}: {outcome.result}"
        raise CallFailedError(CallStatus.REFUSED, f"no plan that is likely enough; {best}")
    return replace(outcome, p_right=p_right)


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


def _fresh(request: Request) -> Request:
    """As if nothing had been planned yet."""
    return replace(request, role=Role.PLANNER, plan=None, failed=None)


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


def _deliberate(request: Request, model: LanguageModel, first: CallOutcome | None = None) -> CallOutcome:
    """Takes the likeliest plan with the things of the home; after a failure, the likeliest other than the one that
    failed. Where neither is known, level 1's plan stays: 0.768 right for 0.776 on 820 goals of valid_seen otherwise.
    first: what level 1 answers; None: it is asked.

    The confidence is that of level 1's plan where it is taken, else the mean over the tokens of the one that is."""
    first = first or _plan(_fresh(request), model)
    likely = probabilities(request, model, first)
    failed = request.plan
    others = {plan: p for plan, p in likely.items() if failed is None or not same_plan(plan, failed)} or likely

    best = max(others, key=lambda plan: others[plan])
    if failed is None and not request.scene:  # nothing is known that level 1 does not know
        best = next(iter(others))
    p_right = others[best]
    if not missing(best, request.scene):
        p_right /= sum(chance for plan, chance in others.items() if not missing(plan, request.scene))
    confidence = first.confidence if best == first.result else _per_token(best, weigh(request, model, [best])[best])
    return CallOutcome(best, confidence, p.plan_json(best), p_right)


def probabilities(
    request: Request, model: LanguageModel, first: CallOutcome, given: Plan | None = None
) -> dict[Plan, float]:
    """Returns the plans that level 2 considers, each with the probability that it is the right one; they sum to 1, but
    for one that names what the home lacks.

    first: what level 1 answers. given: a plan that is weighed with the others."""
    assert isinstance(first.result, Plan)
    home = request.scene
    reader = shipped_goal_reader()
    read = reader.read(request.goal, home)
    plans = [plan for plan in map(plan_of, reader.goals(read, 2 * READ_PLANS)) if not missing(plan, home)]
    plans = [plan for plan in plans if not ALFRED_DOMAIN.check(plan) and not request.rules(plan)][:READ_PLANS]
    plans.insert(0, first.result)
    if missing(first.result, home):
        plans.insert(1, _read_plan(_written(_fresh(request), model, p.PLAN, home=home).text))

    if given is not None:
        plans.append(given)
    nats = weigh(request, model, list(dict.fromkeys(plans)))
    worth: dict[Plan, float] = {}
    said: dict[Plan, Plan] = {}  # normal form -> how it was first written
    for plan, likely in nats.items():
        plan = said.setdefault(normal_form(plan), plan)
        score = WORTH[0] * likely + WORTH[1] * reader.nats(read, goal_of(plan))
        worth[plan] = max(score, worth.get(plan, -math.inf))

    fits = {plan: score for plan, score in worth.items() if not missing(plan, home)}
    top = max(fits.values(), default=0.0)
    total = sum(math.exp(score - top) for score in fits.values())
    return {plan: math.exp(fits[plan] - top) / total if plan in fits else P_MISSING for plan in worth}


def sampled(
    write: Callable[[float, int, int], Completion],
    read: Callable[[str], Plan],
    seed: int,
    tokens: int,
    samples: int,
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
    """Compares the plan with the others that level 2 considers."""
    given = request.plan
    assert given is not None
    first = _plan(_fresh(request), model)
    likely = probabilities(request, model, first, given)
    p_ok = next(chance for plan, chance in likely.items() if same_plan(plan, given))
    if p_ok >= 0.5:
        verdict = Verdict(True, None, p_ok)
        return CallOutcome(verdict, first.confidence, p.verdict_json(verdict))

    rivals = [plan for plan in likely if not same_plan(plan, given)]
    best = max(rivals, key=lambda plan: likely[plan], default=given)
    return CallOutcome(Verdict(False, difference(given, best), p_ok), first.confidence, f"more likely: {best}")


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
        schema=p.schema(role, 1, home),
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
