import subprocess
import sys

import pytest

import rarrl
from rarrl.build import llama_file, make_detector, make_orchestrator, make_policy, make_reasoner, shipped_model
from rarrl.clock import ManualClock
from rarrl.config import DetectorConfig, OrchestratorConfig
from rarrl.errors import InputError
from rarrl.latency.profile import load_profile
from rarrl.orchestrator.rules import make_rule
from rarrl.orchestrator.running_costs import RunningCosts
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS
from rarrl.reasoner.base import Request
from rarrl.reasoner.breaker import GuardedReasoner
from rarrl.reasoner.plan import Plan
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.types import CallStatus, Role

MUG = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])
GOAL = "put a mug on the desk"


@pytest.mark.parametrize("spec", ["", "lama", "llama:", "openai:", "profile:", "gpt-4", "openai", "llama.gguf"])
def test_an_unknown_form_is_refused_with_those_that_there_are(spec):
    with pytest.raises(InputError, match=r"openai:URL#MODEL"):
        make_reasoner(spec)


def test_openai():
    reasoner = make_reasoner("openai:http://localhost:8080/v1#qwen3")
    assert isinstance(reasoner, GuardedReasoner)
    assert reasoner.name == "openai:http://localhost:8080/v1#qwen3"


def test_a_profile_answers_with_the_given_plans_in_its_own_time():
    clock = ManualClock()
    reasoner = make_reasoner("profile:gpt4o-mini-anchor", plans={GOAL: MUG}, clock=clock)
    answers = [reasoner.ask(Request(i, Role.PLANNER, 1, GOAL, 60.0)) for i in range(200)]
    assert all(answer.plan == MUG for answer in answers)
    assert clock.now() == pytest.approx(sum(answer.seconds for answer in answers))
    assert clock.now() / 200 == pytest.approx(0.82, rel=0.1)  # the anchor's mean
    again = make_reasoner("profile:gpt4o-mini-anchor", plans={GOAL: MUG}, clock=ManualClock())
    assert again.ask(Request(0, Role.PLANNER, 1, GOAL, 60.0)).seconds == answers[0].seconds


def test_a_profile_of_recorded_calls_keeps_to_the_deadline_and_judges():
    clock = ManualClock()
    reasoner = make_reasoner("profile:replicate-70b", plans={GOAL: MUG}, clock=clock)
    late = reasoner.ask(Request(1, Role.PLANNER, 2, GOAL, 0.1))
    assert (late.status, late.seconds, clock.now()) == (CallStatus.TIMEOUT, 0.1, 0.1)
    verdicts = [
        reasoner.ask(Request(i, Role.VERIFIER, 1, GOAL, 3000.0, plan=p)).verdict for i, p in enumerate([MUG, Plan(())])
    ]
    assert [verdict.ok for verdict in verdicts if verdict] == [True, False]


def test_a_profile_has_no_plan_of_its_own():
    answer = make_reasoner("profile:gpt4o-mini-anchor", clock=ManualClock()).ask(
        Request(1, Role.PLANNER, 1, GOAL, 60.0)
    )
    assert (answer.status, answer.plan) == (CallStatus.INVALID, None)
    with pytest.raises(InputError, match="no profile 'gpt5'"):
        make_reasoner("profile:gpt5")


def test_the_policy_reaches_the_checker():
    policy = OperatorPolicy(forbidden_objects={"mug"})
    reasoner = make_reasoner("profile:gpt4o-mini-anchor", plans={GOAL: MUG}, clock=ManualClock(), policy=policy)
    assert reasoner.ask(Request(1, Role.PLANNER, 1, GOAL, 60.0)).status is CallStatus.REFUSED


def test_llama_file(tmp_path):
    assert llama_file(f"llama:{shipped_model()}") == llama_file("llama") == shipped_model()
    with pytest.raises(InputError, match=r"no llama\.cpp model"):
        llama_file("profile:x")
    with pytest.raises(InputError, match="does not exist"):
        make_reasoner(f"llama:{tmp_path / 'none.gguf'}")


def test_a_detector_by_preset_grid_and_configuration():
    rig = CameraRig(fx=300.0, fy=300.0, cx=160.0, cy=120.0, baseline=0.1, width=320, height=240)
    near = make_detector(rig, "near").voxelizer.spec
    assert near == PRESETS["near"] == make_detector(rig, PRESETS["near"]).voxelizer.spec
    cube = make_detector(rig, DetectorConfig(preset="cube", size_m=3.2, voxel_size_m=0.2)).voxelizer.spec
    assert (cube.size, cube.voxel_size) == (16, 0.2)
    assert make_detector(rig).voxelizer.spec == PRESETS["indoor"]
    with pytest.raises(InputError, match="indoor"):
        make_detector(rig, "nearby")


def test_an_orchestrator_from_a_configuration_a_name_and_an_object():
    config = OrchestratorConfig(policy="after_failure", profile="groq-70b", cost_weight=0.02)
    made = make_orchestrator(config)
    same = make_orchestrator("after_failure", load_profile("groq-70b"), 0.02)
    asked = make_orchestrator(config.model_copy(update={"reasoner": "openai:http://127.0.0.1:1/v1#m"}))
    assert isinstance(asked.costs, RunningCosts), "a live model's costs are its own"
    assert not isinstance(made.costs, RunningCosts)
    assert (made.policy.params, made.cost_weight) == (same.policy.params, same.cost_weight)
    assert made.costs.mean_s.tolist() == same.costs.mean_s.tolist()
    rule = make_rule("never")
    assert make_orchestrator(rule, "groq-70b", call_timeout_s=5.0).policy is rule
    with pytest.raises(InputError, match="did you mean groq-70b"):
        make_orchestrator(rule, "grok-70b")


@pytest.mark.parametrize("price", [-1, float("nan"), float("inf")])
def test_a_price_of_thinking_that_is_none_is_refused(price):
    with pytest.raises(InputError, match="cost_weight must be a finite number of at least 0, got"):
        make_orchestrator("never", "groq-70b", cost_weight=price)


@pytest.mark.parametrize("threads", [0, -2, 1.5])
def test_a_policy_without_threads_is_refused(threads):
    with pytest.raises(InputError, match=f"threads must be a whole number of at least 1, got {threads}"):
        make_policy(threads=threads)


def test_public_names_are_there_and_loaded_when_used():
    assert sorted(rarrl.PUBLIC) == sorted(rarrl.__all__) and set(rarrl.__all__) <= set(dir(rarrl))
    assert rarrl.make_policy is make_policy
    for name in rarrl.__all__:
        assert getattr(rarrl, name) is not None
    with pytest.raises(AttributeError, match="make_robot"):
        _ = rarrl.make_robot
    code = "import sys, rarrl; print([m for m in sys.modules if m.split('.')[0] in ('rarrl', 'numpy', 'pydantic')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "['rarrl']"
