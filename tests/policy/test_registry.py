"""The table of action policies: folders, names, own classes; here and in the worker process."""

import time
from pathlib import Path

import numpy as np
import own_parts
import pytest

from rarrl.build import make_policy
from rarrl.config import PolicyConfig
from rarrl.errors import InputError
from rarrl.policy.base import InterfaceSpec, Observation, check_policy
from rarrl.policy.process import FILES_MAX_GB, PolicySettings, ProcessPolicy
from rarrl.policy.registry import POLICIES, SHIPPED, policy_folder, register_policy, runs_own_code

FORMS = "FOLDER, hf:ORG/NAME@COMMIT, openvla:FOLDER#package.module:features, package.module:Class"
DIAL = "own_parts:Dial"


def seen(value=255):
    return Observation(np.full((1, 32, 32, 3), value, np.uint8), np.zeros(1, np.float32), "go", observed_at=2.5)


@pytest.fixture
def knob():
    """A kind of policy in the table, for the test alone."""
    made = []

    def make(text, options):
        made.append((text, options))
        return own_parts.Dial()

    register_policy("knob", make, form="knob:COLOUR")
    yield made
    POLICIES.unregister("knob")


def test_an_own_class_keeps_the_contract_and_can_be_closed():
    with make_policy(DIAL) as policy:
        check_policy(policy)
        assert policy.infer(seen(255)).actions[0].tolist() == [0.25, 1.0]


def test_a_registered_kind_gets_its_text_and_options(knob):
    with make_policy("knob:red", threads=3, preset="fast") as policy:
        assert policy.spec == own_parts.Dial.spec
    make_policy(PolicyConfig(folder="knob", threads=2)).close()
    assert [(text, options.threads, options.preset) for text, options in knob] == [("red", 3, "fast"), ("", 2, "")]


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("opnvla:x#a.b:c", {}, "did you mean 'openvla'"),
        ("9:x", {}, f"allowed: {FORMS}"),
        ("openvla:folder", {}, "openvla:FOLDER#package.module:features"),
        ("openvla:#own_parts:features", {}, "openvla:FOLDER#"),
        ("openvla:nowhere#own_parts:features", {}, "does not exist"),
        (DIAL, {"preset": "fast"}, "preset 'fast': a class of your own has none"),
        (DIAL, {"gguf": "x.gguf"}, "gguf 'x.gguf'"),
        ("own_parts:Speechless", {}, "has no infer"),
        ("nowhere/folder", {}, "card.json"),
        ("nothing", {}, "no policy folder 'nothing'"),
        ("nothing", {}, f"allowed: {FORMS}; shipped: hous"),
        ("housheold", {}, "metaworld, tabletop; did you mean 'household'?"),
        ("a" * 5000, {}, "no policy folder 'aaa"),
    ],
)
def test_what_is_not_known_is_one_line(spec, options, message):
    with pytest.raises(InputError) as error:
        make_policy(spec, **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_shipped_folder_is_meant_where_none_is_named():
    pytest.importorskip("llama_cpp")
    with make_policy() as policy, make_policy(SHIPPED) as same:
        assert policy.spec == same.spec and len(policy.spec.cameras) == 2


@pytest.mark.parametrize(
    "name", ["household", "libero_goal", "libero_object", "libero_spatial", "metaworld", "tabletop"]
)
def test_a_shipped_policy_has_a_name(name, tmp_path, monkeypatch):
    folder = SHIPPED.parent / f"policy_{name}"
    assert policy_folder(name) == folder and (folder / "card.json").exists()
    assert PolicySettings(name).command.first["policy"] == str(folder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert policy_folder(name) == Path(name)


def test_a_shipped_policy_loads_by_its_name():
    pytest.importorskip("llama_cpp")
    with make_policy("household") as policy:
        assert "linear_x_m_s" in policy.spec.action_names


def test_an_own_class_runs_in_the_worker(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(own_parts.__file__.rpartition("/")[0]))
    with ProcessPolicy(PolicySettings(DIAL)) as policy:
        assert policy.spec == own_parts.Dial.spec
        for value in (0, 255):
            chunk = policy.infer(seen(value), time.monotonic() + 20.0)
            assert np.array_equal(chunk.actions, own_parts.Dial().infer(seen(value)).actions)
            assert (chunk.dt, chunk.observed_at) == (pytest.approx(0.1), 2.5)


def test_an_own_class_that_is_not_there_is_one_line_here():
    with pytest.raises(InputError, match="no_such_module") as error:
        ProcessPolicy(PolicySettings("no_such_module:Policy"))
    assert "\n" not in str(error.value)


def test_only_policies_that_are_files_alone_have_their_memory_capped():
    assert PolicySettings.of(PolicyConfig()).command.first["max_gb"] == FILES_MAX_GB
    assert PolicySettings(DIAL).command.first["max_gb"] == 0.0
    assert PolicySettings(DIAL, max_gb=1.5).command.first["max_gb"] == 1.5
    assert not runs_own_code("") and not runs_own_code(str(SHIPPED)) and runs_own_code("openvla:x#a:b")


def test_words_of_a_policy_with_and_without_a_vocabulary():
    free = own_parts.Dial.spec
    assert (free.words("Put it THERE!") == 2).all() and len(free.words("put it there")) == 3
    told = InterfaceSpec.of(free)
    known = InterfaceSpec(**{**vars(told), "vocabulary": ("put", "it")})
    assert known.words("put that, it").tolist() == [2, 1, 3]
    for bad in ("", "...", "word " * 41, "x" * 1001):
        with pytest.raises(InputError, match="instruction"):
            free.words(bad)
