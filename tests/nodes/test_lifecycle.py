"""What the base node owes to all nodes: whatever `load` created is gone after cleanup, shutdown or a failure."""

import inspect
import re
import sys
import threading

import pytest

from rarrl.config import Section
from rarrl.errors import InputError
from rarrl.policy.base import InterfaceSpec

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from diagnostic_msgs.msg import DiagnosticArray
from pydantic import Field
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from rarrl.config import iter_fields
from rarrl_nodes import vla_policy_node
from rarrl_nodes.lifecycle import RarrlNode, spin_until_ended, wants_help
from rarrl_nodes.orchestrator_node import OrchestratorNode
from rarrl_nodes.replay_node import ReplayNode
from rarrl_nodes.safety_gate_node import SafetyGateNode
from rarrl_nodes.stereo_voxel_node import StereoVoxelNode
from rarrl_nodes.vla_policy_node import VlaPolicyNode

SUCCESS, FAILURE, ERROR = (getattr(TransitionCallbackReturn, name) for name in ("SUCCESS", "FAILURE", "ERROR"))
ROUNDS = 20  # a leak of one entity per round stands out from the dozen that rclpy itself creates


class SmallConfig(Section):
    autostart: bool = Field(default=False, description="configure and activate without a lifecycle manager")


class SmallNode(RarrlNode):
    """One entity of each kind; `trouble` is raised at the end of `load`, `start_trouble` in `start`."""

    trouble: Exception | None = None
    start_trouble: Exception | None = None

    def __init__(self, **kwargs):
        super().__init__("small_node", "test", tuple(iter_fields(SmallConfig)), SmallConfig, **kwargs)
        self.unloaded = 0
        self.alive_at_unload = None

    def load(self):
        self.pub = self.create_publisher(String, "plain", 1)
        self.managed = self.create_lifecycle_publisher(DiagnosticArray, "managed", 1)
        self.create_subscription(String, "heard", lambda _: None, 1)
        self.create_client(Trigger, "asked")
        self.create_service(Trigger, "~/answered", lambda _, response: response)
        self.create_timer(3600.0, lambda: None, clock=self.steady)
        self.create_guard_condition(lambda: None)
        if self.trouble is not None:
            raise self.trouble

    def start(self):
        if self.start_trouble is not None:
            raise self.start_trouble

    def unload(self):
        self.unloaded += 1
        self.alive_at_unload = self.pub in tuple(self.publishers)

    def diagnose(self):
        return b"\x00", "", {}


def entities(node):
    """The handles that the node holds, by kind, the publishers that lifecycle transitions reach among them."""
    kinds = ("publishers", "subscriptions", "clients", "services", "timers", "guards", "waitables")
    return {kind: len(list(getattr(node, kind))) for kind in kinds} | {"managed": len(node._managed_entities)}


@pytest.fixture
def small(local_node):
    return local_node(SmallNode, start=False)


def test_load_creates_one_of_each_kind_and_cleanup_destroys_them_all(small):
    before = entities(small)
    assert small.trigger_configure() is SUCCESS
    kinds = {"subscriptions": 1, "clients": 1, "services": 1, "timers": 1, "guards": 1, "managed": 1, "publishers": 2}
    assert {kind: entities(small)[kind] - before[kind] for kind in kinds} == kinds

    assert small.trigger_cleanup() is SUCCESS
    assert entities(small) == before


def test_twenty_rounds_of_configure_and_cleanup_leave_no_entity(small):
    before = entities(small)
    for _ in range(ROUNDS):
        assert small.trigger_configure() is SUCCESS
        assert small.trigger_activate() is SUCCESS
        assert small.trigger_deactivate() is SUCCESS
        assert small.trigger_cleanup() is SUCCESS
    assert entities(small) == before
    assert small.unloaded == ROUNDS


def test_rounds_leave_no_dead_reference_in_the_callback_group(small):
    """rclpy keeps one to each entity that ever was there; those of living ones stay, or they would never be called."""
    group = small.default_callback_group.entities
    before = set(group)
    for _ in range(ROUNDS):
        assert small.trigger_configure() is SUCCESS
        assert any(each() is small.pub.event_handlers[0] for each in group)
        assert small.trigger_cleanup() is SUCCESS
    assert before <= group and all(each() is not None for each in group)


def test_unload_comes_first_while_the_publishers_still_exist(small):
    """A thread may publish until `unload` has joined it."""
    small.trigger_configure()
    small.trigger_cleanup()
    assert small.alive_at_unload is True


@pytest.mark.parametrize(("trouble", "result"), [(InputError("a bad file"), FAILURE), (ZeroDivisionError(), ERROR)])
def test_a_load_that_raises_leaves_nothing_and_may_be_tried_again(small, trouble, result):
    before = entities(small)
    small.trouble = trouble
    for _ in range(3):
        assert small.trigger_configure() is result
        assert entities(small) == before
    assert small.unloaded == 3

    small.trouble = None
    assert small.trigger_configure() is SUCCESS


def test_an_activation_that_breaks_leaves_nothing(small):
    before = entities(small)
    small.start_trouble = ZeroDivisionError()
    small.trigger_configure()
    assert small.trigger_activate() is ERROR
    assert entities(small) == before
    assert not small.active


def test_an_activation_that_is_refused_keeps_the_node_configured(small):
    small.start_trouble = InputError("not now")
    small.trigger_configure()
    configured = entities(small)
    assert small.trigger_activate() is FAILURE
    assert entities(small) == configured
    assert (small.failure, small.unloaded) == ("not now", 0)


def test_shutdown_destroys_too_and_unloads_once(small):
    before = entities(small)
    small.trigger_configure()
    assert small.trigger_shutdown() is SUCCESS
    assert entities(small) == before

    small.destroy_node()
    assert small.unloaded == 1


def test_an_unload_that_raises_does_not_keep_the_entities(small):
    before = entities(small)
    small.trigger_configure()
    small.unload = lambda: 1 / 0
    assert small.trigger_cleanup() is SUCCESS
    assert entities(small) == before


def test_a_node_whose_unload_raises_is_destroyed_all_the_same(ros):
    node = SmallNode()
    node.trigger_configure()
    node.unload = lambda: sys.exit(3)
    node.destroy_node()
    assert not list(node.publishers) and not list(node.timers)


class CountingFuture(Future):
    added = 0

    def add_done_callback(self, callback):
        self.added += 1
        super().add_done_callback(callback)


def test_a_node_keeps_nothing_of_the_callbacks_that_it_has_run(small):
    """rclpy's own spin_until_future_complete adds a callback to the future for each."""
    runs = []

    def run():
        runs.append(small.ended.added)
        if len(runs) == 200:
            small.end()

    small.ended = CountingFuture()
    small.create_timer(0.001, run)
    executor = SingleThreadedExecutor()
    executor.add_node(small)
    spin_until_ended(small, executor)
    executor.remove_node(small)
    assert len(runs) == 200 and runs[-1] == runs[0] == 1


def test_a_node_that_is_ended_from_another_thread_wakes_at_once(small):
    executor = SingleThreadedExecutor()
    executor.add_node(small)
    ends = threading.Timer(0.3, lambda: small.ended.set_result(None))
    ends.start()
    spin_until_ended(small, executor)
    ends.join()
    executor.remove_node(small)
    assert small.ended.done()


def test_what_was_created_outside_load_is_kept(small):
    """ROS adds a /clock subscription when `use_sim_time` is set; that one is not the node's to destroy."""
    small.trigger_configure()
    timer = small.create_timer(3600.0, lambda: None)
    small.trigger_cleanup()
    assert timer in tuple(small.timers)


def test_a_setting_has_the_type_that_was_asked_for(small):
    assert small.setting("autostart", bool) is False
    with pytest.raises(TypeError, match="autostart"):
        small.setting("autostart", float)


class StandInPolicy:
    """In place of the worker process: a policy of one camera that drives a base."""

    def __init__(self, settings):
        self.spec = InterfaceSpec(
            cameras=("top",),
            image_size=64,
            proprio_names=("speed_m_s",),
            proprio_mean=(0.0,),
            proprio_scale=(1.0,),
            action_names=("linear_x_m_s", "angular_z_rad_s", "interact"),
            action_low=(0.0, -1.0, 0.0),
            action_high=(0.5, 1.0, 1.0),
            horizon=8,
            control_hz=10.0,
        )

    def close(self):
        pass


def sim_robot_node():
    pytest.importorskip("mujoco", reason="mujoco is missing: pip install 'rarrl[sim]'")
    from rarrl_nodes.sim_robot_node import SimRobotNode

    return SimRobotNode


NODES = {
    "orchestrator": (lambda: OrchestratorNode, {}),
    "replay": (lambda: ReplayNode, {"replay.episodes": 1}),
    "gate": (lambda: SafetyGateNode, {"gate.joints": "shoulder:-1:1:2"}),
    "stereo": (lambda: StereoVoxelNode, {"detector.fuse": True}),
    "policy": (lambda: VlaPolicyNode, {}),
    "sim": (sim_robot_node, {}),
}


@pytest.mark.parametrize("name", NODES)
def test_no_node_of_ours_leaves_an_entity(local_node, monkeypatch, name):
    kind, settings = NODES[name]
    monkeypatch.setattr(vla_policy_node, "ProcessPolicy", StandInPolicy)
    node = local_node(kind(), start=False, **settings)
    before = entities(node)
    threads = threading.active_count()
    for _ in range(3):
        assert node.trigger_configure() is SUCCESS, node.failure
        assert entities(node)["subscriptions"] > before["subscriptions"]
        assert node.trigger_cleanup() is SUCCESS
        assert entities(node) == before
    assert threading.active_count() == threads


@pytest.mark.parametrize("name", NODES)
def test_no_node_of_ours_overwrites_an_attribute_of_rclpy(local_node, name):
    """`self._publishers = []` in a node would hide rclpy's own list, and with it what has to be destroyed."""
    node = local_node(NODES[name][0](), start=False)
    plain = LifecycleNode("plain", namespace=node.get_namespace())
    try:
        lists = {name: type(value) for name, value in vars(plain).items() if isinstance(value, list)}
        assert "_publishers" in lists  # else rclpy has changed, and this test looks at nothing
        assert all(len(getattr(node, name)) >= len(getattr(plain, name)) for name in lists)
    finally:
        plain.destroy_node()


SECTIONS = {"Subscribes": "subscriptions", "Publishes": "publishers", "Services": "services", "Calls": "clients"}
ENTRY = re.compile(r"- `(?P<name>\S+)` \((?P<type>\w+/\w+)(?:, (?P<qos>[\w ]+))?\): \S")


def documented(kind):
    """What the class docstring says about the node's topics and services: {(section, name): (type, qos)}."""
    found = {}
    section = None
    for line in inspect.getdoc(kind).splitlines():
        if line.removesuffix(":") in SECTIONS:
            section = line.removesuffix(":")
        elif section and line.startswith("- "):
            entry = ENTRY.match(line)
            assert entry, f"{line!r} is not `name` (package/Type, qos): meaning"
            found[section, entry["name"]] = (entry["type"], entry["qos"])
    return found


def created(node, before):
    """The same of the entities that `load` has created."""
    found = {}
    for section, kind in SECTIONS.items():
        for entity in getattr(node, kind):
            if entity in before:
                continue
            name = getattr(entity, "topic_name", None) or entity.srv_name
            if name in ("/tf", "/tf_static"):  # only where tf2_msgs is installed
                continue
            own_type = getattr(entity, "msg_type", None) or entity.srv_type
            qos = None
            if section in ("Subscribes", "Publishes"):
                latched = entity.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
                best_effort = entity.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT
                qos = "latched" if latched else "best effort" if best_effort else None
            package = own_type.__module__.partition(".")[0]
            found[section, name.removeprefix(node.get_namespace() + "/")] = (f"{package}/{own_type.__name__}", qos)
    return found


@pytest.mark.parametrize("name", NODES)
def test_topics_in_a_nodes_docstring_are_those_that_it_creates(local_node, name):
    kind = NODES[name][0]()
    texts = documented(kind)
    if not texts:
        pytest.skip(f"{kind.__name__} does not list its topics in its docstring")

    node = local_node(kind, start=False, **NODES[name][1])
    before = {entity for kind in SECTIONS.values() for entity in getattr(node, kind)}
    assert node.trigger_configure() is SUCCESS
    assert created(node, before) == texts


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--foo"], "'--foo' is no argument of this node"),
        (["foo", "--ros-args", "-p", "a:=3"], "'foo' is no argument of this node"),
        (["--ros-args", "--params-file"], "No file path provided"),
        (["--ros-args", "--params-file", "nofile.yaml"], "parameter file: nofile.yaml does not exist"),
    ],
)
def test_arguments_that_nobody_takes_are_named(arguments, says):
    with pytest.raises(InputError, match=says):
        wants_help(["bin/small_node", *arguments], "")


def test_help_is_printed_and_ros_arguments_are_left_to_ros(capsys):
    assert not wants_help(["small_node", "--ros-args", "-p", "a:=3", "-r", "x:=y", "--log-level", "warn"], "")
    assert wants_help(["bin/small_node", "--help"], "It is small.") and wants_help(["small_node", "-h"], "")
    assert capsys.readouterr().out.startswith("usage: small_node [--ros-args")
