import threading
from dataclasses import replace

import pytest

from rarrl.clock import ManualClock
from rarrl.reasoner.base import Answer, Request
from rarrl.reasoner.breaker import BreakerState, CircuitBreaker, GuardedReasoner
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.types import CallStatus, Role

MUG = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])


class Scripted:
    """Answers with the statuses in turn; counts the calls that reach it."""

    name = "scripted"

    def __init__(self, *statuses, plan=MUG, decision=None):
        self.statuses, self.plan, self.decision, self.calls = list(statuses), plan, decision, 0

    def ask(self, request):
        self.calls += 1
        status = self.statuses.pop(0) if self.statuses else CallStatus.OK
        decision = request.decision if self.decision is None else self.decision
        plan = self.plan if status is CallStatus.OK and request.role is Role.PLANNER else None
        verdict = Verdict(True) if status is CallStatus.OK and request.role is Role.VERIFIER else None
        return Answer(decision, request.role, request.level, status, 0.1, self.name, plan=plan, verdict=verdict)

    def close(self):
        pass


def ask(reasoner, decision=1, goal="put the mug on the desk", role=Role.PLANNER):
    return reasoner.ask(Request(decision, role, 1, goal, 1.0, plan=MUG))


def guarded(backend, clock=None, **policy):
    return GuardedReasoner(backend, OperatorPolicy(**policy), CircuitBreaker(3, 10.0, clock or ManualClock()))


@pytest.mark.parametrize("bad", [CallStatus.TIMEOUT, CallStatus.BACKEND_DOWN, CallStatus.INVALID])
def test_three_failures_open_it_and_no_call_goes_through(bad):
    backend = Scripted(bad, bad, bad)
    reasoner = guarded(backend)
    assert [ask(reasoner).status for _ in range(3)] == [bad] * 3
    assert reasoner.breaker.state is BreakerState.OPEN
    answer = ask(reasoner)
    assert (answer.status, answer.seconds, backend.calls) == (CallStatus.BACKEND_DOWN, 0.0, 3)
    assert "next try in 10.0 s" in answer.why


def test_after_the_cool_down_one_call_probes():
    clock, down = ManualClock(), CallStatus.BACKEND_DOWN
    backend = Scripted(down, down, down, down)
    reasoner = guarded(backend, clock)
    for _ in range(3):
        ask(reasoner)
    clock.advance(9.9)
    ask(reasoner)
    assert backend.calls == 3
    clock.advance(0.2)
    ask(reasoner)  # the probe fails: open for another ten seconds
    assert (backend.calls, reasoner.breaker.state) == (4, BreakerState.OPEN)
    clock.advance(10.0)
    assert ask(reasoner).status is CallStatus.OK
    assert reasoner.breaker.state is BreakerState.CLOSED


def test_it_says_when_nobody_would_answer():
    clock, bad = ManualClock(), CallStatus.BACKEND_DOWN
    backend = Scripted(bad, bad, bad)
    reasoner = guarded(backend, clock)
    assert reasoner.down == ""
    for _ in range(3):
        ask(reasoner)
    assert reasoner.down == "scripted failed 3 times in a row; it is asked again after a while"
    clock.advance(10.0)
    assert reasoner.down == "", "the next call probes"
    backend.down = "the worker ended"
    assert reasoner.down == "the worker ended"


def test_only_one_call_probes():
    clock = ManualClock()
    breaker = CircuitBreaker(1, 1.0, clock)
    breaker.record(False)
    clock.advance(1.0)
    assert [breaker.allow(), breaker.allow(), breaker.state] == [True, False, BreakerState.HALF_OPEN]


def test_success_between_failures_keeps_it_closed():
    down, ok = CallStatus.TIMEOUT, CallStatus.OK
    reasoner = guarded(Scripted(down, down, ok, down, down, ok))
    for _ in range(6):
        ask(reasoner)
    assert reasoner.breaker.state is BreakerState.CLOSED


def test_caps_and_refusals_do_not_count_as_failures():
    reasoner = guarded(Scripted(*[CallStatus.BUDGET, CallStatus.REFUSED] * 5))
    for _ in range(10):
        ask(reasoner)
    assert reasoner.breaker.state is BreakerState.CLOSED


def test_an_answer_to_another_decision_is_dropped():
    answer = ask(guarded(Scripted(decision=6)), decision=7)
    assert (answer.decision, answer.status, answer.plan) == (7, CallStatus.BACKEND_DOWN, None)
    assert "decision 6 was dropped" in answer.why


def test_a_plan_against_the_rules_never_leaves():
    answer = ask(guarded(Scripted(), forbidden_objects={"mug"}))
    assert (answer.status, answer.plan) == (CallStatus.REFUSED, None)
    assert "forbids to touch mug" in answer.why
    assert ask(guarded(Scripted())).plan == MUG


def test_a_verdict_passes():
    assert ask(guarded(Scripted()), role=Role.VERIFIER).verdict == Verdict(True)


def test_a_goal_that_is_too_long_reaches_no_model():
    backend = Scripted()
    answer = ask(guarded(backend), goal="put " * 200)
    assert (answer.status, backend.calls) == (CallStatus.REFUSED, 0)
    assert "allowed: 500" in answer.why


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="failures >= 1"):
        CircuitBreaker(0)


class Broken(Scripted):
    """Answers with what `make` returns, or raises as it does; so does `close`."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def ask(self, request):
        return self.make(super().ask(request))

    def close(self):
        raise RuntimeError("cannot\nclose")


def failing(answer):
    raise RuntimeError("two\nlines")


def leaving(answer):
    raise SystemExit(3)


@pytest.mark.parametrize(("make", "why"), [(failing, "RuntimeError: two lines"), (leaving, "SystemExit: 3")])
def test_a_backend_that_raises_is_down(make, why):
    answer = ask(guarded(Broken(make)))
    assert (answer.status, answer.why, answer.plan) == (CallStatus.BACKEND_DOWN, why, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (None, "TypeError: the backend returned a NoneType, not an Answer"),
        ({"status": "OK"}, "TypeError: Answer.status is a str"),
        ({"plan": [["PickupObject", "mug"]]}, "TypeError: Answer.plan is a list"),
        ({"plan": Plan(("PickupObject",))}, "TypeError: Answer.plan is not made of Step"),
        ({"plan": None}, "ValueError: an answer OK without a result"),
        ({"status": CallStatus.TIMEOUT}, "ValueError: an answer TIMEOUT with its result"),
        ({"role": Role.VERIFIER}, "ValueError: an answer of verifier level 1"),
        ({"seconds": float("nan")}, "ValueError: Answer.seconds"),
        ({"decision": "1"}, "TypeError: Answer.decision is a str"),
    ],
)
def test_an_answer_that_is_not_well_formed_is_invalid(change, why):
    answer = ask(guarded(Broken(lambda answer: None if change is None else replace(answer, **change))))
    assert (answer.status, answer.plan, answer.decision) == (CallStatus.INVALID, None, 1)
    assert answer.why.startswith(why)


def test_a_probe_that_raises_opens_it_again_and_the_next_one_may_close_it():
    clock, backend = ManualClock(), Broken(failing)
    reasoner = guarded(backend, clock)
    for _ in range(3):
        ask(reasoner)
    clock.advance(10.0)
    ask(reasoner)  # the probe
    assert (reasoner.breaker.state, backend.calls) == (BreakerState.OPEN, 4)
    backend.make = lambda answer: answer
    clock.advance(10.0)
    assert ask(reasoner).status is CallStatus.OK and reasoner.breaker.state is BreakerState.CLOSED


def test_a_call_that_was_given_up_is_a_failure_and_its_late_answer_does_not_count():
    request = Request(1, Role.PLANNER, 1, "put the mug on the desk", 1.0)
    given_up = []

    def late(answer):
        given_up.append(reasoner.give_up(request))
        return answer

    reasoner = GuardedReasoner(Broken(late), breaker=CircuitBreaker(1, 10.0, ManualClock()))
    assert reasoner.ask(request).status is CallStatus.OK
    assert (given_up[0].status, given_up[0].seconds) == (CallStatus.TIMEOUT, 1.0)
    assert reasoner.breaker.state is BreakerState.OPEN


def test_a_close_that_raises_is_logged_in_one_line(caplog):
    guarded(Broken(failing)).close()
    assert caplog.messages == ["language model scripted: close failed (RuntimeError: cannot close)"]


@pytest.mark.parametrize("goal", ["", " ", "!!!", "...", "\u200b\u202e", "🤖", "—", "\x00\n"])
def test_a_goal_without_a_word_reaches_no_backend(goal):
    backend = Scripted()
    for role in Role:
        answer = ask(guarded(backend), goal=goal, role=role)
        assert (answer.status, backend.calls) == (CallStatus.REFUSED, 0) and "holds no word" in answer.why


@pytest.mark.parametrize("goal", ["стакан", "把杯子放在架子上", "7", "ضع الكوب"])
def test_a_goal_in_any_language_reaches_it(goal):
    backend = Scripted()
    assert ask(guarded(backend), goal=goal).plan == MUG


def test_the_backend_is_told_the_names_of_the_operators_policy():
    asked = []

    class Keeps(Scripted):
        def ask(self, request):
            asked.append(request)
            return super().ask(request)

    ask(guarded(Keeps(), more_objects={"drill"}, forbidden_places={"bed"}))
    assert asked[0].vocabulary.own == ("drill",) and "bed" not in asked[0].vocabulary.offered.places


# Withdrawn calls


class Slow(Scripted):
    """Answers once it is told to."""

    def __init__(self, *statuses):
        super().__init__(*statuses)
        self.asked, self.go = threading.Event(), threading.Event()

    def ask(self, request):
        self.asked.set()
        assert self.go.wait(5.0)
        self.go.clear()
        return replace(super().ask(request), tokens_in=30, tokens_out=10)


class Stopping(Slow):
    def cancel(self, decision):
        self.statuses.insert(0, CallStatus.WITHDRAWN)
        self.go.set()
        return True


def withdrawn(reasoner, backend, decision=5):
    backend.asked.clear()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(reasoner, decision)))
    thread.start()
    assert backend.asked.wait(5.0)
    stopped = reasoner.cancel(decision)
    backend.go.set()
    thread.join(5.0)
    return answers[0], stopped


def test_a_call_that_is_withdrawn_is_no_failure_and_says_what_it_saved():
    backend = Stopping(CallStatus.TIMEOUT, CallStatus.TIMEOUT)
    reasoner = guarded(backend)
    for _ in range(2):
        backend.go.set()
        assert ask(reasoner).status is CallStatus.TIMEOUT
    answer, stopped = withdrawn(reasoner, backend)
    assert (answer.status, stopped, answer.tokens, answer.tokens_saved) == (CallStatus.WITHDRAWN, True, 40, 0)
    assert reasoner.breaker.state is BreakerState.CLOSED

    backend.statuses[:] = [CallStatus.TIMEOUT]  # the third failure in a row
    backend.go.set()
    ask(reasoner)
    assert reasoner.breaker.state is BreakerState.OPEN


def test_what_a_withdrawn_call_saved_is_what_such_calls_usually_take_less_what_it_took():
    class Cheap(Stopping):
        def ask(self, request):
            answer = super().ask(request)
            return replace(answer, tokens_out=3) if answer.status is CallStatus.WITHDRAWN else answer

    backend = Cheap()
    reasoner = guarded(backend)
    backend.go.set()
    assert ask(reasoner).tokens == 40
    answer, _ = withdrawn(reasoner, backend)
    assert (answer.tokens, answer.tokens_saved) == (33, 7)


def test_a_backend_that_cannot_stop_answers_and_nobody_uses_it():
    backend = Slow()
    reasoner = guarded(backend)
    answer, stopped = withdrawn(reasoner, backend)
    assert (answer.status, answer.plan, stopped) == (CallStatus.WITHDRAWN, None, False)
    assert (answer.tokens, answer.tokens_saved) == (40, 0)
    assert ask_now(reasoner, backend, 6).status is CallStatus.OK


def ask_now(reasoner, backend, decision):
    backend.go.set()
    return ask(reasoner, decision)


def test_a_call_that_is_withdrawn_before_it_begins_does_not_begin():
    backend = Scripted()
    reasoner = guarded(backend)
    assert reasoner.cancel(4) is False
    assert (ask(reasoner, 4).status, backend.calls) == (CallStatus.WITHDRAWN, 0)
    assert ask(reasoner, 5).status is CallStatus.OK


def test_a_probe_that_is_withdrawn_leaves_the_next_call_to_probe():
    clock, down = ManualClock(), CallStatus.BACKEND_DOWN
    backend = Stopping(down, down, down)
    reasoner = guarded(backend, clock)
    for number in range(3):
        ask_now(reasoner, backend, number)
    clock.advance(10.1)
    answer, _ = withdrawn(reasoner, backend)
    assert (answer.status, reasoner.breaker.state) == (CallStatus.WITHDRAWN, BreakerState.OPEN)
    assert ask_now(reasoner, backend, 9).status is CallStatus.OK
    assert reasoner.breaker.state is BreakerState.CLOSED


def test_a_backend_whose_cancel_fails_does_no_harm():
    class Broken(Slow):
        def cancel(self, decision):
            raise RuntimeError("no")

    backend = Broken()
    answer, stopped = withdrawn(guarded(backend), backend)
    assert (answer.status, stopped) == (CallStatus.WITHDRAWN, False)
