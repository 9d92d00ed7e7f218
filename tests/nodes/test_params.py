"""ROS parameters are those of the config models: types, ranges, texts, and what is refused."""

from typing import Literal

import pytest
from pydantic import Field

from rarrl.config import Config, Section, config_from_flat, iter_fields
from rarrl.errors import InputError

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from rclpy.node import Node
from rclpy.parameter import Parameter

from rarrl_nodes import params
from rarrl_nodes.params import (
    LIVE,
    REPLAY_SPECS,
    ReplayNodeConfig,
    check,
    check_file,
    declare,
    descriptor,
    read_config,
)

SPECS = {spec.name: spec for spec in REPLAY_SPECS}


@pytest.fixture
def node(ros, namespace):
    """`node({"replay.speed": 5})`: a node with the parameters of the replay, some of them overridden."""
    made = []

    def make(overrides=None):
        given = [Parameter(name, value=value) for name, value in (overrides or {}).items()]
        node = Node("replay_node", namespace=namespace, parameter_overrides=given)
        made.append(node)
        declare(node, REPLAY_SPECS, ReplayNodeConfig)
        return node

    yield make
    for node in made:
        node.destroy_node()


def test_ranges_and_descriptions_are_those_of_the_model():
    speed = descriptor(SPECS["replay.speed"])
    (limits,) = speed.floating_point_range
    assert (limits.from_value, limits.to_value) == (SPECS["replay.speed"].minimum, SPECS["replay.speed"].maximum)
    assert speed.description == SPECS["replay.speed"].description
    (limits,) = descriptor(SPECS["replay.episodes"]).integer_range
    assert (limits.from_value, limits.step) == (1, 1)
    assert not descriptor(SPECS["run_dir"]).integer_range


def test_only_live_parameters_can_be_set_while_the_node_runs():
    read_only = {name for name, spec in SPECS.items() if descriptor(spec).read_only}
    assert read_only == set(SPECS) - set(LIVE)


def test_without_overrides_the_configuration_is_the_default(node):
    assert read_config(node()) == Config()


def test_an_integer_is_accepted_for_a_float(node):
    made = node({"replay.speed": 5, "replay.episodes": 3})
    assert made.get_parameter("replay.speed").value == 5.0
    expected = config_from_flat({"replay.speed": 5.0, "replay.episodes": 3}, "test")
    assert read_config(made) == expected


def test_a_misspelled_name_is_refused_and_one_of_another_node_is_not(node):
    with pytest.raises(InputError, match=r"replay\.sped of replay_node is unknown"):
        node({"replay.sped": 5.0})
    assert not node({"gate.rate_hz": 20.0, "use_sim_time": False}).has_parameter("gate.rate_hz")


@pytest.mark.parametrize(
    ("name", "value"), [("replay.speed", -1.0), ("replay.episodes", "many"), ("run_dir", "a\nb"), ("shock", 3)]
)
def test_a_bad_value_is_refused_in_one_line_that_names_it(node, name, value):
    with pytest.raises(InputError, match=name.rpartition(".")[2]) as caught:
        node({name: value})
    assert "\n" not in str(caught.value)


def test_a_live_parameter_is_checked_when_it_is_set(node):
    made = node()
    (result,) = made.set_parameters([Parameter("replay.speed", value=7.0)])
    assert result.successful and made.get_parameter("replay.speed").value == 7.0

    for value in (-7.0, "fast"):
        (result,) = made.set_parameters([Parameter("replay.speed", value=value)])
        assert not result.successful and result.reason
    assert made.get_parameter("replay.speed").value == 7.0

    (result,) = made.set_parameters([Parameter("replay.seed", value=1)])
    assert not result.successful  # read-only


class OwnConfig(Section):
    label: Literal["red", "green"] = Field(default="red", description="A setting that only a node of one's own has.")


def test_a_node_of_ones_own_may_have_settings_of_its_own(ros, namespace):
    overrides = [Parameter("label", value="green")]
    node = Node("own_node", namespace=namespace, parameter_overrides=overrides)
    declare(node, tuple(iter_fields(OwnConfig)), OwnConfig)
    try:
        assert node.get_parameter("label").value == "green"
        with pytest.raises(InputError, match="label of another is unknown"):
            declare(Node("another", parameter_overrides=overrides), REPLAY_SPECS, ReplayNodeConfig)
    finally:
        node.destroy_node()


def test_check_accepts_the_defaults_of_every_node():
    for specs, model in (
        (params.ORCHESTRATOR_SPECS, params.OrchestratorNodeConfig),
        (params.REPLAY_SPECS, params.ReplayNodeConfig),
        (params.STEREO_SPECS, params.StereoNodeConfig),
        (params.POLICY_SPECS, params.PolicyNodeConfig),
        (params.GATE_SPECS, params.GateNodeConfig),
        (params.SIM_SPECS, params.SimNodeConfig),
    ):
        check({spec.name: spec.default for spec in specs}, model, "test")
        own = [spec for spec in specs if "." not in spec.name]
        assert own and all(spec.description[0].isupper() and spec.description.endswith(".") for spec in own)


def test_a_mapping_and_a_misspelt_name_are_told_what_to_write(node):
    with pytest.raises(InputError, match=r"write it as text: headers: '\{"):
        node({"language_model.headers.api-key": "$A"})
    with pytest.raises(InputError, match=r"did you mean 'language_model\.threads'"):
        node({"language_model.thread": 3})


@pytest.mark.parametrize("text", ["", "a: {b: 1}", "[1]", "replay.speed: 3"])
def test_a_file_without_parameters_is_no_parameter_file(tmp_path, text):
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"p\.yaml: holds no parameters; write NODE: "):
        check_file(file)
    file.write_text("/**:\n  ros__parameters: {replay.speed: 3}")
    check_file(file)
    file.write_text("ns:\n  node:\n    ros__parameters: {}")
    check_file(file)
