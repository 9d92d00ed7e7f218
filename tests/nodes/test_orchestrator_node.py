"""orchestrator_node in this process, talked to over real topics and services."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from rarrl.alfred import SubgoalType, step_views
from rarrl.decision_loop import DecisionOutcome, Phase, Report, TaskView
from rarrl.errors import InputError, RarrlError
from rarrl.reasoner.base import Request
from rarrl.reasoner.plan import Plan
from rarrl.types import Action, ActStatus, Budget, CallStatus, Decision, PlanStatus, Role, StateSummary

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Float32

from rarrl_nodes import conversions, key_values
from rarrl_nodes.lifecycle import LATCHED
from rarrl_nodes.orchestrator_node import OrchestratorNode

NAME = "orchestrator_node: decisions"
PLAN = (SubgoalType.GotoLocation, SubgoalType.PutObject)
ALWAYS = 'always:{"recipe": "P1"}'
REPORT = Report("run", 1, Phase.WAITING, 0, StateSummary(step_views(PLAN), 0, 0, 9), Budget.full(20.0, 4000.0), None)


def send(ear, report, **changes):
    values = {**conversions.values_from_report(report), **changes}
    values = {k: v for k, v in values.items() if v is not None}
    ear.state.publish(key_values.array("replay_node: state", values, Time()))


def start(ear, local_node, policy=ALWAYS, **parameters):
    node = local_node(OrchestratorNode, orchestrator__policy=policy, **parameters)
    assert ear.until(lambda: ear.state.get_subscription_count() > 1)
    return node


def decide(ear, report, **changes):
    """Sends `report`; the texts of the decision that answers it."""
    before = len(ear.heard["decision"])
    send(ear, report, **changes)
    assert ear.until(lambda: len(ear.heard["decision"]) > before), "no decision"
    return ear.values("decision")[-1]


def diagnosed(ear, condition, timeout_s=5.0):
    """Whether a status of the node satisfies `condition(status, values)` in time."""

    def holds():
        return any(condition(s, {v.key: v.value for v in s.values}) for s in ear.statuses(NAME))

    ear.heard["/diagnostics"].clear()
    return ear.until(holds, timeout_s)


def test_a_state_is_answered_with_decision_budget_subgoal_and_plan(ear, local_node):
    start(ear, local_node)
    decision = decide(ear, REPORT)
    assert (decision["action"], decision["role"], decision["level"]) == ("THINK", "planner", "1")
    assert (decision["run"], decision["state"], decision["id"]) == ("run", "1", "1")
    assert float(decision["deadline_s"]) == 20.0 and decision["why"].startswith("always: GotoLocation (1/2)")
    assert ear.until(lambda: all(ear.heard[t] for t in ("budget", "subgoal", "plan")))
    budget = ear.values("budget")[-1]
    assert (float(budget["time_left_s"]), float(budget["tokens_left"]), budget["id"]) == (20.0, 4000.0, "1")

    plotted = {"budget/time_left_s": [], "budget/tokens_left": []}
    for topic, heard in plotted.items():
        ear.node.create_subscription(Float32, topic, heard.append, LATCHED)
    assert ear.until(lambda: all(plotted.values()))
    assert [heard[-1].data for heard in plotted.values()] == [20.0, 4000.0]
    assert ear.heard["subgoal"][-1].data == "GotoLocation"
    assert [ear.values("plan")[-1][key] for key in ("subgoals", "0", "1")] == ["2", "GotoLocation", "PutObject"]


def test_a_spent_budget_is_told_and_leaves_only_act(ear, local_node):
    start(ear, local_node)
    first = decide(ear, REPORT)
    spent = DecisionOutcome(int(first["id"]), Action.PLANNER_1, CallStatus.TIMEOUT, 20.0, 300.0, False)
    second = decide(ear, replace(REPORT, number=2, budget=Budget(0.0, 3700.0, 20.0, 4000.0), outcome=spent))
    assert (second["action"], float(second["time_left_s"])) == ("ACT", 0.0)
    assert ear.until(lambda: ear.heard["budget"][-1].status[0].level == DiagnosticStatus.WARN)


def test_late_outcomes_are_dropped_and_counted(ear, local_node):
    start(ear, local_node)
    first = decide(ear, REPORT)
    late = DecisionOutcome(int(first["id"]) + 41, Action.PLANNER_1, CallStatus.OK, 5.0, 400.0, False)
    second = decide(ear, replace(REPORT, number=2, outcome=late))
    assert float(second["time_left_s"]) == 20.0, "a late answer is not paid for"
    assert diagnosed(ear, lambda s, v: v.get("late_outcomes_dropped") == "1")


GARBAGE = [
    {"plan": None},
    {"plan": "Fly,,Swim"},
    {"plan": "GotoLocation," * 2000},
    {"time_left_s": "nan"},
    {"tokens_left": "-1"},
    {"token_budget": "1e300"},
    {"subgoal_index": "99"},
    {"horizon": "0"},
    {"schema": "0"},
    {"run": "x" * 100_000},
    {"outcome_id": "7"},
    {"state": "\x00"},
]


def test_garbage_is_refused_counted_and_survived(ear, local_node):
    node = start(ear, local_node)
    decide(ear, REPORT)
    for count, change in enumerate(GARBAGE, start=1):
        send(ear, replace(REPORT, number=2), **change)
        assert ear.until(lambda count=count: node._refused == count), change
    ear.state.publish(DiagnosticArray())
    ear.state.publish(DiagnosticArray(status=[DiagnosticStatus(values=[KeyValue(key="a", value="b")])] * 100))
    assert ear.until(lambda: node._refused >= len(GARBAGE) + 1)
    assert diagnosed(ear, lambda s, v: int(v["states_refused"]) > len(GARBAGE) and v["last_refusal"] != "")
    assert decide(ear, replace(REPORT, number=3))["state"] == "3"


def test_a_second_robot_is_refused_while_the_first_is_alive(ear, local_node):
    node = start(ear, local_node, orchestrator__decision_timeout_s=1.0)
    decide(ear, REPORT)
    send(ear, replace(REPORT, run="other"))
    assert ear.until(lambda: node._refused == 1) and "second task executive" in node._last_refusal
    ear.until(lambda: False, 1.2)  # the first falls silent
    assert decide(ear, replace(REPORT, run="other"))["run"] == "other"


def test_silence_is_told_on_the_steady_clock(ear, local_node):
    start(ear, local_node, orchestrator__decision_timeout_s=1.0)
    assert diagnosed(ear, lambda s, v: s.level == DiagnosticStatus.WARN and "no state of a task executive" in s.message)
    decide(ear, REPORT)
    assert diagnosed(
        ear,
        lambda s, v: s.level == DiagnosticStatus.STALE and "(topic state) silent for" in s.message,
        3.5,
    )


def test_diagnostics_say_what_decides_and_how_fast(ear, local_node):
    start(ear, local_node)
    for number in range(1, 20):
        decide(ear, replace(REPORT, number=number))
    assert diagnosed(ear, lambda s, v: s.level == DiagnosticStatus.OK and v.get("decisions") == "19")
    values = {v.key: v.value for v in ear.statuses(NAME)[-1].values}
    assert (values["policy"], values["profile"]) == (ALWAYS, "gpt4o-mini-anchor")
    assert 0.0 < float(values["decide_p50_ms"]) <= float(values["decide_p99_ms"]) < 1000.0
    assert float(values["decisions_per_s"]) > 0.0 and float(values["state_age_s"]) < 10.0


def test_services(ear, local_node):
    start(ear, local_node, policy="never:{}")
    assert not ear.call("orchestrator_node/think_now").success
    assert decide(ear, REPORT)["action"] == "ACT"
    assert ear.call("orchestrator_node/think_now").success
    done = DecisionOutcome(1, Action.ACT, ActStatus.SUCCESS, 1.0, 0.0, False)
    asked = decide(ear, replace(REPORT, number=2, outcome=done))
    assert (asked["action"], asked["role"], asked["level"]) == ("THINK", "planner", "1")
    assert ear.call("orchestrator_node/cancel").success
    heard = len(ear.heard["decision"])
    send(ear, replace(REPORT, number=3))
    assert not ear.until(lambda: len(ear.heard["decision"]) > heard, 0.5), "cancelled, yet it decides"
    assert diagnosed(ear, lambda s, v: "cancelled" in s.message)
    assert ear.call("orchestrator_node/reset").success
    assert decide(ear, replace(REPORT, number=3))["action"] == "ACT"
    empty = Budget(0.0, 0.0, 20.0, 4000.0)
    decide(ear, replace(REPORT, number=4, budget=empty))
    refused = ear.call("orchestrator_node/think_now")
    assert not refused.success and "budget" in refused.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("orchestrator.cost_weight", 7.0),
        ("orchestrator.cost_weight", float("nan")),
        ("orchestrator.time_budget_s", -1.0),
        ("orchestrator.token_budget", "many"),
        ("orchestrator.policy", ""),
        ("orchestrator.decision_timeout_s", 0.0),
        ("autostart", 1),
        ("orchestrator.polcy", "never"),
    ],
)
def test_bad_parameters_are_refused_at_the_start(ros, name, value):
    with pytest.raises((InputError, ParameterException)) as error:
        OrchestratorNode(parameter_overrides=[Parameter(name, value=value)])
    assert name in str(error.value) and "\n" not in str(error.value)


def test_parameters_at_run_time(ear, local_node):
    node = local_node(OrchestratorNode, start=False, orchestrator__time_budget_s=7)  # a whole number will do
    assert node.get_parameter("orchestrator.time_budget_s").value == 7.0

    def set_to(name, value):
        return node.set_parameters([Parameter(name, value=value)])[0]

    assert set_to("orchestrator.cost_weight", 0.5).successful
    assert not set_to("orchestrator.cost_weight", 1.5).successful
    assert not set_to("orchestrator.cost_weight", float("nan")).successful
    assert not set_to("orchestrator.cost_weight", "much").successful
    assert not set_to("orchestrator.policy", "never").successful, "read-only"
    assert node.get_parameter("orchestrator.cost_weight").value == 0.5
    described = node.describe_parameter("orchestrator.time_budget_s")
    assert described.read_only and described.floating_point_range[0].to_value == 3600.0 and described.description


def test_lifecycle_by_hand(ear, local_node):
    node = local_node(OrchestratorNode, start=False, orchestrator__policy=ALWAYS)
    assert diagnosed(ear, lambda s, v: s.message == "not active")
    for _ in range(2):  # cleanup gives everything back
        assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() is TransitionCallbackReturn.SUCCESS
        assert ear.until(lambda: ear.state.get_subscription_count() > 1)
        decide(ear, REPORT)
        assert node.trigger_deactivate() is TransitionCallbackReturn.SUCCESS
        assert node.trigger_cleanup() is TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize("parameters", [{"orchestrator__policy": "nonesuch"}, {"orchestrator__profile": "nonesuch"}])
def test_a_bad_policy_or_profile_is_told(local_node, parameters):
    with pytest.raises(RarrlError, match="nonesuch"):
        local_node(OrchestratorNode, **parameters)


def test_the_operators_policy_is_a_parameter(local_node, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("forbidden_things: [mug]\n")
    settings = {"orchestrator__reasoner": "own_parts:Tidy", "orchestrator__operator_policy": str(path)}
    node = local_node(OrchestratorNode, **settings)
    answer = node._reasoner.ask(Request(1, Role.PLANNER, 1, "put the mug on the desk", 5.0))
    assert answer.status is CallStatus.REFUSED and "forbids to touch mug" in answer.why

    path.write_text("forbidden_things: [mugg]\n")
    with pytest.raises(RarrlError, match=r"policy.yaml: forbidden_things: 'mugg' .*did you mean 'mug'\?"):
        local_node(OrchestratorNode, **settings)


class Failing:
    """A user's rule that raises each time."""

    name = "failing"

    def act(self, s, mask):
        raise RuntimeError("no\nidea")


def test_a_policy_that_fails_means_act_and_the_node_stays_up(ear, local_node):
    node = start(ear, local_node, policy=f"{__name__}:Failing")
    logged = []
    node.get_logger = lambda: SimpleNamespace(error=logged.append, warning=logged.append)
    for number in (1, 2, 3):
        assert decide(ear, replace(REPORT, number=number))["action"] == "ACT"
    assert diagnosed(ear, lambda s, v: s.level == DiagnosticStatus.WARN and v.get("policy_errors") == "3")
    assert len(logged) == 1 and "policy failing: act failed (RuntimeError: no idea)" in logged[0]
    assert "\n" not in logged[0]


ROBOT = {"executive__skills": "robot:pyrobosim"}


def test_with_an_executive_and_no_model_every_decision_is_act_and_the_row_is_its_business(ear, local_node):
    node = start(ear, local_node, **ROBOT)
    decision = decide(ear, REPORT)
    assert decision["action"] == "ACT"
    assert node.diagnose()[1].startswith("no language model") and ear.heard["subgoal"] == []


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({**ROBOT, "orchestrator__reasoner": "llama"}, "plans for ALFRED's household alone"),
        ({"executive__skills": "robot:nobody"}, "allowed: alfred"),
        ({"executive__skills": "skills.yaml"}, "world: none is given"),
    ],
)
def test_a_robot_that_does_not_fit_is_refused_at_configure(ros, local_node, parameters, says):
    with pytest.raises(InputError, match=says):
        local_node(OrchestratorNode, **parameters)


def test_requests_bring_the_robot_along_and_what_failed(ear, local_node):
    node = start(ear, local_node, orchestrator__reasoner="own_parts:CountsToFive", **ROBOT)
    status = PlanStatus(0, 0.5, 0.5, 0, 0, 0.5, (False, False), 0, False, 4, 0)
    rows = Plan.from_rows([["place", "soda", "desk"]])
    view = TaskView("bring a soda", rows, status, (), ("soda is at fridge",), 0, "refused", "it is shut")
    send(ear, replace(REPORT, task=view))
    assert ear.until(lambda: node._session.report is not None)
    request = node._session.request(Decision(1, Action.PLANNER_1, 5.0, ""))
    assert request.domain.skills.robot.startswith("pyrobosim")
    assert (request.plan, request.failed, request.outcome, request.why) == (rows, 0, "refused", "it is shut")
    assert request.beliefs == ("soda is at fridge",)
