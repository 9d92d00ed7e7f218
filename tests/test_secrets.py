"""Secrets: read in one place, checked, and shown nowhere."""

import base64
import doctest
import html
import json
import logging
import os

import pytest
from chat_servers import PLAN, ChatServer, Says, delta, refuses, stream, whole
from typer.testing import CliRunner

from rarrl import secrets
from rarrl.build import make_reasoner
from rarrl.cli import app
from rarrl.config import LanguageModelConfig, config_from_values
from rarrl.errors import InputError
from rarrl.reasoner.base import Request
from rarrl.types import CallStatus, Role
from rarrl.worker_process import without_secrets

CORE = "sk-0123456789abcdef"

SENT = {
    "plain": CORE,
    "trailing CR": CORE + "\r",
    "trailing LF": CORE + "\n",
    "CRLF": CORE + "\r\n",
    "quotes": f'"{CORE}"',
    "spaces": f"  {CORE}\t",
    "Bearer": f"Bearer {CORE}",
    "bearer in quotes": f"'bearer  {CORE}'\n",
    "byte order mark": "\ufeff" + CORE,
}
"""Shapes of a key that are meant well -> the variable's value; CORE is sent."""

REFUSED = {
    "inner newline": (CORE + "\nX-Evil: " + CORE[::-1], "a line end"),
    "inner CR": (CORE + "\r" + CORE[::-1], "a line end"),
    "inner NUL": (CORE + "\x01" + CORE[::-1], "control character"),
    "not ASCII": (CORE + "ü", "not ASCII"),
    "two words": (CORE + " " + CORE[::-1], "a space"),
    "very long": (CORE * 1000, "more than 8000"),
}
EMPTY = {"white space": " \r\n\t ", "quotes alone": '""', "Bearer alone": "Bearer ", "nothing": ""}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def set_key(monkeypatch, value, variable="RARRL_LLM_KEY"):
    monkeypatch.setitem(os.environ, variable, value) if "\x00" not in value else None


def test_examples():
    assert doctest.testmod(secrets).failed == 0


@pytest.mark.parametrize("shape", SENT)
def test_what_surrounds_a_key_is_taken_away(monkeypatch, shape):
    set_key(monkeypatch, SENT[shape])
    assert secrets.read_key() == CORE


@pytest.mark.parametrize("shape", EMPTY)
def test_an_empty_variable_is_none_at_all(monkeypatch, shape):
    set_key(monkeypatch, EMPTY[shape])
    assert secrets.read_key() == ""
    set_key(monkeypatch, CORE, "OPENAI_API_KEY")
    assert secrets.read_key() == CORE


@pytest.mark.parametrize("shape", REFUSED)
def test_a_bad_key_names_the_variable_and_never_the_value(monkeypatch, shape):
    value, fault = REFUSED[shape]
    set_key(monkeypatch, value)
    with pytest.raises(InputError, match=f"environment variable RARRL_LLM_KEY: .*{fault}") as caught:
        secrets.read_key()
    assert CORE not in str(caught.value) and "\n" not in str(caught.value)


def says_the_key(body):
    return refuses(401, f"Incorrect API key provided: {CORE}, {json.dumps(CORE)}, Bearer%20{CORE}")


def streams_the_key(body):
    return stream(delta(reasoning_content=CORE), CORE, {"error": {"message": f"bad key {CORE}"}})


def answers_the_key(body):
    return whole(f"The key is {CORE}.")


ECHOES = {"refusal": says_the_key, "stream": streams_the_key, "answer": answers_the_key}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("option", [[], ["--json"]], ids=["text", "json"])
def test_no_way_out_of_the_command_shows_a_key(monkeypatch, caplog, echo, option):
    set_key(monkeypatch, CORE + "\r\n")
    with ChatServer(ECHOES[echo]) as server, caplog.at_level(logging.DEBUG):
        done = CliRunner().invoke(app, ["ask", "put a mug on the desk", "--llm", f"openai:{server.url}#m", *option])
    assert done.exit_code == 1 and server.seen[0][1]["authorization"] == f"Bearer {CORE}"
    assert CORE not in done.output + done.stderr + caplog.text


def test_a_command_with_a_bad_key_says_which_variable(monkeypatch):
    set_key(monkeypatch, REFUSED["inner newline"][0])
    done = CliRunner().invoke(app, ["ask", "put a mug on the desk", "--llm", "openai:http://127.0.0.1:9/v1#m"])
    assert done.exit_code == 2 and "environment variable RARRL_LLM_KEY" in done.stderr
    assert CORE not in done.output + done.stderr and CORE[::-1] not in done.output + done.stderr


@pytest.mark.parametrize("echo", ECHOES)
def test_no_field_of_an_answer_shows_a_key(monkeypatch, echo):
    set_key(monkeypatch, CORE + "\r\n")
    monkeypatch.setenv("GATE", CORE[::-1])
    settings = LanguageModelConfig(headers='{"X-Token": "$GATE"}') if echo == "refusal" else None
    with ChatServer(ECHOES[echo]) as server:
        answer = make_reasoner(f"openai:{server.url}#m", settings=settings).ask(
            Request(1, Role.PLANNER, 1, "put a mug on the desk", 5.0)
        )
    assert answer.status is not CallStatus.OK
    assert CORE not in repr(answer) and CORE[::-1] not in repr(answer)


LONG = "sk-proj-" + "Ab3+/x9Q" * 18 + "=="
LONG_ECHOES = {
    "error body": lambda body: refuses(401, f"bad key {LONG}"),
    "error body that is cut": lambda body: Says(401, "text/html", (" " * 4030 + LONG).encode()),
    "content": lambda body: whole(f"Invalid API key: {LONG}"),
    "thoughts in content": lambda body: whole(f"<think>Invalid API key: {LONG}"),
    "argument of a step": lambda body: whole(json.dumps({"plan": [["PickupObject", LONG]]})),
    "verb of a step": lambda body: whole(json.dumps({"plan": [[LONG, "mug"]]})),
    "row of a plan": lambda body: whole(json.dumps({"plan": [LONG]})),
    "refusal": lambda body: Says(
        200, "application/json", json.dumps({"choices": [{"message": {"refusal": "x" * 150 + LONG}}]}).encode()
    ),
    "content type": lambda body: Says(200, LONG, b"<html>"),
}


@pytest.mark.parametrize("echo", LONG_ECHOES)
def test_no_part_of_a_long_key_is_left_where_a_text_is_cut(monkeypatch, echo):
    set_key(monkeypatch, LONG)
    with ChatServer(LONG_ECHOES[echo]) as server:
        answer = make_reasoner(f"openai:{server.url}#m").ask(Request(1, Role.PLANNER, 1, "put a mug on the desk", 5.0))
    shown = repr(answer)
    assert answer.status is not CallStatus.OK and secrets.HIDDEN in shown
    assert not [i for i in range(len(LONG) - 8) if LONG[i : i + 9].lower() in shown.lower()]


WRITINGS = {
    "capitals": LONG.upper(),
    "base64": base64.b64encode(LONG.encode()).decode(),
    "base64 of user:key": base64.b64encode(f"u:{LONG}".encode()).decode(),
    "base64 of :key": base64.b64encode(f":{LONG}:".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(LONG.encode()).decode(),
    "hex": LONG.encode().hex(),
    "HTML": html.escape(LONG).replace("=", "&#61;").replace("+", "&#x2B;").replace("/", "&sol;"),
    "percent codes": LONG.replace("+", "%2b").replace("/", "%2F").replace("=", "%3d"),
    "percent codes twice": LONG.replace("+", "%252b").replace("/", "%252F").replace("=", "%253d"),
    "JSON": LONG.replace("/", r"\/").replace("+", r"\u002B"),
    "wrapped": "\n".join(LONG[start : start + 40] for start in range(0, len(LONG), 40)),
    "JSON in JSON": LONG.replace("/", r"\\/").replace("+", r"\\u002B"),
}


@pytest.mark.parametrize("way", WRITINGS)
def test_a_key_is_found_however_it_is_written(monkeypatch, way):
    set_key(monkeypatch, LONG)
    shown = secrets.hide_secrets(f"bad key <{WRITINGS[way]}>")
    assert len(shown) < 24 and shown.startswith("bad key <")


def test_the_beginning_of_a_key_at_the_end_of_a_text_is_hidden(monkeypatch):
    set_key(monkeypatch, LONG)
    assert secrets.hide_secrets(f"bad key {LONG[:20]}") == "bad key ***"
    assert secrets.hide_secrets(f"{LONG[:20]} is bad") == f"{LONG[:20]} is bad"


@pytest.mark.parametrize(
    ("token", "hidden"),
    [
        ("sk-typed-in-path-0123456789", True),
        ("hf_0123456789abcdefghij", True),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", True),
        ("task-planner-0123456789abcdef", False),
        ("Qwen3-4B-Instruct-2507", False),
    ],
)
def test_what_is_a_key_by_its_form(token, hidden):
    assert (secrets.hide_secrets(f"openai:http://h/{token}/v1#m") == "openai:http://h/***/v1#m") is hidden


class Leaky:
    """A backend of a user that repeats its key, in an answer or in an error."""

    name = f"leaky {CORE}"

    def ask(self, request):
        raise ValueError(f"Invalid header value b'Bearer {CORE}\\n'")

    def close(self):
        raise OSError(CORE)


def test_a_backend_of_a_user_does_not_show_it_either(monkeypatch, caplog):
    set_key(monkeypatch, CORE)
    reasoner = make_reasoner(f"{__name__}:Leaky")
    answer = reasoner.ask(Request(1, Role.PLANNER, 1, "put a mug on the desk", 5.0))
    reasoner.close()
    assert answer.status is CallStatus.BACKEND_DOWN and "Invalid header value" in answer.why
    assert CORE not in repr(answer) + caplog.text


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"api-key": CORE}, r'write \{"api-key": "\$VARIABLE"\}'),
        ({"Authorization": f"Bearer {CORE}"}, "is a secret"),
        ({"Cookie": CORE}, "is a secret"),
        ({"X-Title": f"a\r\nAuthorization: {CORE}"}, "characters that no header line can have"),
        ({f"X {CORE}"[:3]: "x"}, "cannot be the name"),
        ({"Host": "x"}, "is what rarrl itself sends"),
        ({"X-Title": 3}, "not a text"),
        (["api-key", CORE], "not a mapping"),
        (f"api-key: {CORE}", "not the text of a JSON object"),
    ],
)
def test_secrets_in_settings_are_refused_without_showing_them(headers, says):
    with pytest.raises(InputError, match=says) as caught:
        config_from_values({"language_model": {"headers": headers}}, "test")
    assert CORE not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"api_key": CORE},
        {"options": {"auth": [{"jwt": CORE}]}},
        {"x-access": CORE},
        {"upstream": "sk-typed-in-clear-0123456789"},
    ],
)
def test_secrets_in_fields_of_requests_are_refused_without_showing_them(body):
    with pytest.raises(InputError, match="is a secret and settings are visible") as caught:
        config_from_values({"language_model": {"extra_body": body}}, "test")
    assert CORE not in str(caught.value) and "0123456789" not in str(caught.value)


def test_fields_of_requests_read_environment_variables(monkeypatch):
    monkeypatch.setenv("GATE", CORE[::-1])
    body = {
        "options": {"api_key": "$GATE", "tenant": "${GATE}", "schema": {"$ref": "#/$defs/a"}},
        "prompt_cache_key": "robots",
        "stop_token_ids": [3],
    }
    settings = LanguageModelConfig(extra_body=json.dumps(body))
    with ChatServer([refuses(401, f"bad {CORE[::-1]}")]) as server:
        answer = make_reasoner(f"openai:{server.url}#m", settings=settings).ask(
            Request(1, Role.PLANNER, 1, "put a mug on the desk", 5.0)
        )
        sent = server.seen[0][2]["options"]
    assert sent == {"api_key": CORE[::-1], "tenant": CORE[::-1], "schema": {"$ref": "#/$defs/a"}}
    assert CORE[::-1] not in repr(answer) and "bad ***" in answer.why

    with pytest.raises(InputError, match="only over https"):
        make_reasoner("openai:http://192.0.2.1/v1#m", settings=settings)
    monkeypatch.delenv("GATE")
    with pytest.raises(InputError, match="extra_body: api_key: the environment variable GATE is not set"):
        make_reasoner("openai:https://x/v1#m", settings=settings)


@pytest.mark.parametrize(
    "name", ["pwd", "db-pwd", "X-JWT", "session-id", "aws-access-key-id", "x-access", "X-Access-Id"]
)
def test_names_of_secrets(name):
    assert secrets.is_secret_name(name)


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(InputError, match="headers: api-key: the environment variable NOT_THERE is not set"):
        make_reasoner("openai:https://x/v1#m", settings=LanguageModelConfig(headers='{"api-key": "$NOT_THERE"}'))


def test_short_keys_are_hidden_as_words_and_leave_other_words_alone(monkeypatch):
    set_key(monkeypatch, "x")
    assert secrets.hide_secrets("expected x, got 'x'") == "expected ***, got '***'"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host/v1", "https://***@host/v1"),
        ("https://me:p@ss@host/v1", "https://***@host/v1"),
        ("openai:http://h/v1?key=abc&api-version=2#m", "openai:http://h/v1?key=***&api-version=2#m"),
        ("openai:http://h/v1?sig=$SIG#m", "openai:http://h/v1?sig=$SIG#m"),
        (
            "rarrl ask 'put a mug' --llm 'openai:https://t0ken@h/v1#m'",
            "rarrl ask 'put a mug' --llm 'openai:https://***@h/v1#m'",
        ),
        ("openai:https://host#model@2", "openai:https://host#model@2"),
        ("mail me@example.org", "mail me@example.org"),
    ],
)
def test_urls_lose_their_secrets(text, shown):
    assert secrets.hide_secrets(text) == shown


def test_workers_get_no_secrets():
    secrets.read_secret("GATE")
    kept = {"PATH": "d", "HF_TOKEN": "a policy of the user may need it"}
    assert without_secrets({"RARRL_LLM_KEY": "a", "OPENAI_API_KEY": "b", "GATE": "c", **kept}) == kept


def test_the_plan_that_was_asked_for_comes_through(monkeypatch):
    set_key(monkeypatch, CORE)
    with ChatServer([stream(PLAN)]) as server:
        done = CliRunner().invoke(app, ["ask", "put a mug on the desk", "--llm", f"openai:{server.url}#m"])
    assert done.exit_code == 0 and "PutObject(mug, desk)" in done.output
