"""`--llm-option NAME=VALUE`: the settings of the language model on the command line."""

import pytest
from chat_servers import PLAN, ChatServer, stream
from typer.testing import CliRunner

from rarrl.cli import app
from rarrl.cli.language_model import language_model_settings, language_model_values
from rarrl.config import LanguageModelConfig
from rarrl.errors import InputError


def test_values_get_their_types():
    options = ["threads=4", "call_timeout_s = 2.5", 'extra_body={"reasoning_effort": "low"}', "thinking_tokens=0"]
    settings = language_model_settings(options)
    assert (settings.threads, settings.call_timeout_s, settings.thinking_tokens) == (4, 2.5, 0)
    assert settings.body == {"reasoning_effort": "low"}
    assert language_model_settings(None) == LanguageModelConfig()


def test_an_option_of_its_own_is_no_second_value():
    assert language_model_values(["gpu_layers=3"], threads=2) == {"threads": 2, "gpu_layers": 3}
    assert language_model_values(["threads=4"], threads=None) == {"threads": 4}
    with pytest.raises(InputError, match="--llm-option threads: not together with --threads"):
        language_model_values(["threads=4"], threads=2)
    with pytest.raises(InputError, match="not together with --deadline"):
        language_model_values(["call_timeout_s=4"], call_timeout_s=2.0)


def test_all_layers_may_be_written_as_a_word():
    assert language_model_values(["gpu_layers=all"]) == {"gpu_layers": -1}


@pytest.mark.parametrize(
    ("llm", "idle"),
    [
        ("llama:x.gguf", ["headers", "extra_body"]),
        ("openai:http://h/v1#m", ["threads"]),
        ("profile:household", ["headers", "threads", "extra_body"]),
        ("my.module:Class", []),
        (None, []),
    ],
)
def test_a_setting_without_effect_is_told_in_one_line(llm, idle, capsys):
    language_model_values(["headers={}", "threads=2", "call_timeout_s=3", "extra_body={}"], llm)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"note: --llm-option {name} has no effect with {llm}" for name in idle]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("threds=4", "did you mean 'threads'"),
        ("threads", "threads has no value; write threads=4"),
        ("extra_body", "write extra_body=VALUE"),
        ("=4", "allowed: NAME=VALUE"),
        ("threads=many", "--llm-option threads: 'many' is not an integer (1 to 64)"),
        ("threads=0", "allowed: integer 1 to 64"),
        ("threads=1.5", "'1.5' is not an integer (1 to 64)"),
        ("call_timeout_s=soon", "'soon' is not a number (0.05 to 3600)"),
        ("call_timeout_s=nan", "allowed: number 0.05 to 3600"),
        ("extra_body=[1]", "not a mapping"),
        ('extra_body={"messages": []}', "messages is what rarrl itself sends"),
        ("extra_body={reasoning: low}", "not the text of a JSON object"),
    ],
)
def test_bad_ones_are_refused_in_one_line(option, says):
    with pytest.raises(InputError) as caught:
        language_model_settings([option])
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        "ask x",
        "replay",
        "demo",
        "run",
        "run --sim",
        "eval planner --alfred x",
        "eval mission",
        "profile record --alfred x --out y",
    ],
)
def test_every_command_that_names_a_model_takes_them(command):
    done = CliRunner().invoke(app, [*command.split(), "--llm-option", "threds=4"])
    assert done.exit_code == 2 and "did you mean 'threads'" in done.stderr, done.output


def test_they_reach_the_server():
    with ChatServer([stream(PLAN)]) as server:
        options = ["--llm-option", "max_new_tokens_1=99", "--llm-option", "thinking_tokens=1"]
        done = CliRunner().invoke(app, ["ask", "put a mug on the desk", "--llm", f"openai:{server.url}#m", *options])
    assert done.exit_code == 0 and server.bodies[0]["max_tokens"] == 100
