import pytest

from rarrl.orchestrator.rules import make_rule
from rarrl_learning.skills import trials
from rarrl_learning.skills.evaluate import ANSWERS, train_costs
from rarrl_learning.skills.recorded_answers import RecordedAnswers
from rarrl_learning.skills.trials import Trial
from rarrl_sim_envs.pyrobosim.missions import mission

pytest.importorskip("pyrobosim")


@pytest.fixture(scope="module")
def trial() -> Trial:
    answers = RecordedAnswers(ANSWERS)
    return Trial(mission(1, "vague", 0), answers, train_costs(answers))


def test_thinking_costs_seconds_and_what_was_played_is_not_played_again(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    never, start = trial.play(make_rule("never")), trial.play(make_rule("start", recipe="P1"))

    assert (never.calls, never.llm_s, start.calls) == (0, 0.0, 1)
    assert start.llm_s > 0.0 and start.tokens > 0.0

    monkeypatch.setattr(trials, "_Live", None)
    assert trial.play(make_rule("never")) == never
    assert trial.play(make_rule("start", recipe="P1")) == start


def test_a_branch_of_a_known_way_is_played_as_if_alone(trial: Trial) -> None:
    rule = make_rule("interval", every=2, recipe="P1")
    answers = RecordedAnswers(ANSWERS)
    alone = Trial(trial.mission, answers, train_costs(answers))

    trial.play(make_rule("never"))

    assert trial.play(rule) == alone.play(rule)


def test_a_failed_mission_takes_its_horizon() -> None:
    task = mission(2, "vague", 1)
    played = Trial(task, None, trials.CallCosts.of([])).play(make_rule("never"))
    assert played.success == (played.seconds < task.horizon_s)
