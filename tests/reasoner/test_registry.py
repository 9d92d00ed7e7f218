"""The table of reasoners: shipped ones, names that users add, own classes."""

import own_parts
import pytest

from rarrl.build import make_reasoner
from rarrl.config import LanguageModelConfig
from rarrl.errors import InputError
from rarrl.reasoner.base import Request
from rarrl.reasoner.breaker import GuardedReasoner
from rarrl.reasoner.registry import REASONERS, register_reasoner
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.types import CallStatus, Role

ASKED = Request(3, Role.PLANNER, 1, "put a mug on the desk", 5.0)


@pytest.fixture
def echo():
    """A reasoner in the table, for the test alone."""
    made = []

    def make(text, options):
        made.append((text, options))
        return own_parts.Tidy()

    register_reasoner("echo", make, form="echo:PLACE")
    yield made
    REASONERS.unregister("echo")


def test_an_own_class_is_asked_behind_breaker_and_checker():
    reasoner = make_reasoner("own_parts:Tidy")
    answer = reasoner.ask(ASKED)
    assert isinstance(reasoner, GuardedReasoner) and (answer.plan, answer.decision) == (own_parts.MUG, 3)
    strict = make_reasoner("own_parts:Tidy", policy=OperatorPolicy(forbidden_objects={"mug"}))
    assert strict.ask(ASKED).status is CallStatus.REFUSED


def test_a_registered_one_gets_its_text_and_options(echo):
    assert (
        make_reasoner("echo:hill", settings=LanguageModelConfig(threads=4), seed=2, node="node").ask(ASKED).plan
        == own_parts.MUG
    )
    ((text, options),) = echo
    assert (text, options.settings.threads, options.seed, options.node) == ("hill", 4, 2, "node")


def test_a_text_is_needed_forbidden_or_free(echo):
    register_reasoner("bare", lambda text, options: own_parts.Tidy(), text=False)
    try:
        assert make_reasoner("bare").name == "tidy"
        for spec in ("bare:x", "bare:", "echo", "echo:"):
            with pytest.raises(InputError, match="is not known") as error:
                make_reasoner(spec)
            assert "echo:PLACE" in str(error.value) and "bare" in str(error.value)
    finally:
        REASONERS.unregister("bare")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lama:x", "cannot be imported.*did you mean 'llama'"),
        ("olpenai:http://x", "did you mean 'openai'"),
        ("lama", "did you mean 'llama'"),
        ("own_parts:Dial", "has no name, ask, close"),
        ("own_parts:Tidi", "did you mean 'Tidy'"),
    ],
)
def test_what_is_not_known_is_one_line(spec, message):
    with pytest.raises(InputError, match=message) as error:
        make_reasoner(spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("/path/x.gguf", "did you mean llama:/path/x.gguf?"),
        ("http://host/v1#m", "did you mean openai:http://host/v1#m?"),
        ("http://me:pw@host/v1", "did you mean openai:http://***@host/v1#MODEL?"),
        ("ollama:qwen3:0.6b", "did you mean openai:http://localhost:11434/v1#qwen3:0.6b?"),
        ("llama_ros:foo", "llama_ros works in orchestrator_node alone"),
        ("openai:localhost:8951/v1#m", "put http:// or https:// in front"),
        ("openai:http://me:pw@host/v1#m", "it holds a user name or a password"),
        ("openai:http://host:99999/v1#m", "ports end at 65535"),
    ],
)
def test_what_looks_like_a_form_of_ours_is_told_how_to_write_it(spec, says, monkeypatch):
    for name in [name for name in REASONERS if name == "llama_ros"]:  # a test of the nodes made it known
        monkeypatch.delitem(REASONERS._entries, name)
    with pytest.raises(InputError) as caught:
        make_reasoner(spec)
    assert says in str(caught.value) and "pw" not in str(caught.value)
