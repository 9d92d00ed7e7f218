"""A game that was played can be read."""

from dataclasses import replace

import numpy as np
from alfworld_fixtures import a_game

from rarrl.decision_loop import DecisionSession
from rarrl.executive.executive import TaskExecutive
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.registry import load_policy
from rarrl.reasoner.base import Answer
from rarrl.skills.plan import Plan
from rarrl.types import CallStatus
from rarrl_sim_envs.alfworld.robot import domain_of
from rarrl_sim_envs.alfworld.transcript import as_html, as_text, play_transcript
from rarrl_sim_envs.alfworld.twin import Twin

GAME = a_game("pick_heat_then_place_in_recep", "Apple", "Desk")


class Planner:
    """Always has the same plan."""

    name = "test"

    def ask(self, request):
        plan = Plan.from_rows([["heat", "apple", "microwave_1"], ["put", "apple", "desk_1"]])
        return Answer(request.decision, request.role, request.level, CallStatus.OK, 1.5, "test", 100, 20, plan=plan)

    def close(self):
        pass


def played(session=None, reasoner=None):
    twin = Twin(GAME)
    domain = domain_of(twin.reset())
    if session:
        costs = type("Costs", (), dict.fromkeys(("mean_s", "p95_s", "mean_tokens", "max_tokens"), np.ones(4)))()
        session = DecisionSession(Orchestrator(load_policy("always"), costs, 0.004), (60.0, 1e4), domain=domain)
    return play_transcript(GAME, twin, TaskExecutive(domain), "always" if session else "no model", session, reasoner)


def test_commands_answers_and_what_they_are_for():
    transcript = played()
    assert transcript.won and transcript.commands == sum(len(line.said) for line in transcript.lines)
    whys = [line.why for line in transcript.lines]
    assert any(why.startswith("looks for apple: it is there with ") for why in whys)
    assert "prepares heat(apple, microwave_1)" in whys and whys[-1] == "row 2 of the plan"
    text = as_text([transcript])
    assert "[no model: won, " in text.splitlines()[0]
    assert "> heat apple 1 with microwave 1  You heat the apple 1 using the microwave 1." in text
    assert "succeeded: all rows of the plan are done" in text


def test_what_was_thought_and_why():
    transcript = played(True, Planner())
    thought = next(line for line in transcript.lines if line.thinks)
    assert thought.what == "THINK planner 1" and thought.why.startswith("always: ")
    assert thought.said == (("", "OK: heat(apple, microwave_1); put(apple, desk_1)"),)
    assert transcript.won and transcript.end.calls >= 1 and transcript.end.tokens >= 120


def test_the_page_holds_no_markup_of_others():
    transcript = played()
    game = replace(GAME, goal="<script>alert(1)</script>")
    page = as_html([replace(transcript, game=game)], "<b>games</b>")
    assert "<script>" not in page and "&lt;script&gt;" in page and "<b>games</b>" not in page
    assert page.count("<li") == len(transcript.lines)
