"""`rarrl ask` and `rarrl bench planner` as a user types them."""

import json
from contextlib import closing

import pytest
from chat_servers import ChatServer, refuses, whole
from typer.testing import CliRunner

from rarrl.build import make_reasoner
from rarrl.cli import app
from rarrl.reasoner.openai import OpenAiReasoner
from rarrl_learning.reasoner.faults import FaultyServer

GOAL = "put a cup on the desk"


def rarrl(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def llm():
    with FaultyServer("") as server:
        yield f"openai:{server.url}#any"


@pytest.mark.parametrize("command", ["ask", "bench planner"])
def test_help(command):
    result = rarrl(*command.split(), "--help")
    assert result.exit_code == 0 and "llama:PATH.gguf" in result.output


def test_a_plan_is_printed(llm):
    result = rarrl("ask", GOAL, "--llm", llm)
    assert result.exit_code == 0, result.output
    assert result.stdout == "1. PickupObject(cup)\n2. PutObject(cup, desk)\n"
    assert "10 + 20 tokens" in result.stderr


@pytest.mark.parametrize("seen", ["Mugs, coffee machine", "mug,coffeemachine", "mug CoffeeMachine"])
def test_what_is_seen_is_told_by_class(seen, monkeypatch):
    asked = []
    monkeypatch.setattr(OpenAiReasoner, "ask", lambda self, request: asked.append(request))
    rarrl("ask", GOAL, "--llm", "openai:http://127.0.0.1:1/v1#any", "--seen", seen)
    assert asked[0].scene == ("mug", "coffeemachine")


def test_the_shipped_model_does_what_was_asked_and_abstains_from_all_else(monkeypatch):
    pytest.importorskip("llama_cpp")
    with closing(make_reasoner("llama")) as shipped:
        monkeypatch.setattr(shipped, "close", lambda: None)
        monkeypatch.setattr("rarrl.build.make_reasoner", lambda *_, **__: shipped)  # loaded once
        for goal in ("do a backflip", "stop", "bring me a beer", "stelle die Tasse auf den Tisch", "kill the cat"):
            result = rarrl("ask", goal)
            assert result.exit_code == 1, goal
            assert result.stdout.startswith("no plan: REFUSED: I know seven kinds of task"), goal
        assert "English in the letters a to z" in rarrl("ask", "把干净的杯子放在架子上").stdout

        result = rarrl("ask", "Put the cup in the fridge", "--seen", "cup,fridge")
        assert result.stdout == "1. PickupObject(cup)\n2. PutObject(cup, fridge)\n"
        assert "note: this model uses --seen at level 2 alone" in result.stderr
        assert "right with probability 0." in result.stderr
        monkeypatch.undo()


def test_a_deadline_too_short_for_a_server_that_loads_its_model_is_told():
    with ChatServer(lambda body: refuses(503, "Loading model")) as server:
        result = rarrl("ask", GOAL, "--llm", f"openai:{server.url}#m", "--deadline", 0.2)
    assert result.exit_code == 1 and "note: with a longer --deadline (now 0.2 s) the call waits for it" in result.stderr


def test_json(llm):
    (answer,) = json.loads(rarrl("ask", GOAL, "--llm", llm, "--json").stdout)
    assert answer["plan"] == [["PickupObject", "cup"], ["PutObject", "cup", "desk"]]
    assert (answer["status"], answer["tokens_out"], answer["confidence"]) == ("OK", 20, None)


PYROBOSIM = ("--skills", "robot:pyrobosim", "--world", "robot:pyrobosim")


def test_a_robot_of_ones_own_is_planned_for_in_its_own_words():
    sees = []

    def planner(body):
        sees.append(str(body["messages"]))
        return whole('{"plan": [["place", "coke", "desk"]]}' if len(sees) == 1 else '{"plan": [["fly", "coke"]]}')

    with ChatServer(planner) as server:
        asked = ("ask", "bring a coke to the desk", *PYROBOSIM, "--llm", f"openai:{server.url}#m")
        done, refused = rarrl(*asked), rarrl(*asked)
    assert (done.exit_code, done.stdout) == (0, "1. place(soda, desk)\n"), done.output
    assert "navigate" in sees[0] and "PickupObject" not in sees[0]
    assert refused.exit_code == 1 and refused.stdout.startswith("no plan: ") and "fly" in refused.stdout


def test_a_verdict_that_is_none_is_told(llm):
    result = rarrl("ask", GOAL, "--llm", llm, "--verify")
    assert result.exit_code == 1  # the plan is there, but nobody calls it ok
    assert "no verdict: INVALID" in result.stdout  # this server writes plans whatever it is asked


def test_the_operators_policy_is_kept(llm, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text('{"forbidden_objects": ["cup", "mug"]}')
    result = rarrl("ask", GOAL, "--llm", llm, "--policy", policy)
    assert result.exit_code == 1
    assert "no plan: REFUSED: " in result.stdout and "the operator forbids to touch" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("ask", "put a mug " * 60), "the goal has 600 characters (allowed: 500)"),
        (("ask", GOAL, "--llm", "gpt"), "allowed: llama"),
        (("ask", GOAL, "--llm", "llama:nowhere.gguf"), "nowhere.gguf"),
        (("ask", GOAL, "--policy", "nowhere.json"), "nowhere.json does not exist"),
        (("ask", GOAL, "--operator-policy", "nowhere.json"), "nowhere.json does not exist"),
        (("ask", GOAL, "--seen", "mgu"), "'mgu' is no name that may stand there; did you mean 'mug'?"),
        (("ask", GOAL, "--seen", "mug,table"), "may mean coffeetable, diningtable, sidetable; name one of them"),
        (("ask", GOAL, "--skills", "robot:pyrobosim", "--seen", "mug"), "--seen goes with ALFRED's household"),
        (("bench", "planner", "--llm", "profile:x"), "allowed: llama"),
    ],
)
def test_bad_input_ends_in_one_line(arguments, told):
    result = rarrl(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("goal", ["", "  \t", "!!!", "?", "\u200b", "…"])
def test_an_empty_goal_is_refused_before_a_model_is_loaded(goal):
    result = rarrl("ask", goal, "--llm", "llama:/nowhere.gguf", "--policy", "/nowhere.json")
    assert result.exit_code == 2
    assert result.stderr == 'error: ask: the goal holds no word; say what to do, such as "put a hot mug on the table"\n'
