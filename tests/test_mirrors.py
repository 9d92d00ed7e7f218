"""A source file has its tests where one looks for them: `rarrl/perception/rig.py` in `tests/perception/test_rig.py`."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MIRRORS = {
    "rarrl": "tests",
    "sim_envs": "tests/sim_envs",
    "learning": "tests/learning",
    "nodes": "tests/nodes",
}
"""Package -> the folder of its tests, which has the same folders."""

NO_MIRROR = {
    "learning/alfworld/abstain.py": "shown through tests/learning/alfworld/test_learn.py",
    "learning/alfworld/asked.py": "shown through tests/learning/alfworld/test_trials.py",
    "learning/alfworld/evaluate.py": "shown through tests/learning/alfworld/test_learn.py",
    "learning/alfworld/record.py": "shown through tests/learning/alfworld/test_answers.py",
    "learning/alfworld/train.py": "shown through tests/learning/alfworld/test_learn.py",
    "learning/grove.py": "shown through tests/learning/alfworld/test_learn.py",
    "learning/household/beside.py": "shown through tests/learning/household/test_evaluate_beside.py",
    "learning/household/hosted_calls.py": "shown through tests/learning/household/test_recorded_missions.py",
    "learning/latency/figures.py": "shown through tests/cli/test_cli.py (`plot` of a profile)",
    "learning/orchestrator/busy_cores.py": "shown through tests/learning/orchestrator/test_cost_shift.py",
    "learning/orchestrator/train_alfred.py": "shown through tests/learning/orchestrator/test_train.py",
    "learning/orchestrator/train_nameless.py": "shown through tests/learning/orchestrator/test_train.py",
    "learning/perception/benchmark.py": "shown through tests/learning/perception/test_evaluate.py",
    "learning/perception/evaluate_fusion.py": "shown through tests/perception/test_fusion.py",
    "learning/perception/jobs.py": "shown through tests/cli/test_detector.py",
    "learning/policy/export.py": "shown through tests/policy/test_serve.py",
    "learning/policy/parity.py": "shown through tests/policy/test_serve.py",
    "learning/progress.py": "names alone",
    "learning/reasoner/export.py": "shown through tests/learning/reasoner/test_train.py",
    "learning/trees.py": "shown through tests/learning/alfworld/test_trials.py",
    "learning/trials.py": "shown through tests/learning/skills/test_trials.py",
    "nodes/arguments.py": "shown through tests/nodes/test_lifecycle.py",
    "nodes/asked_settings.py": "shown through tests/nodes/test_bag_recorder.py and test_view_listener.py",
    "nodes/bag_run.py": "shown through tests/nodes/test_bag_recorder.py",
    "nodes/children.py": "shown through tests/nodes/test_view_run.py, test_bag_recorder.py and test_processes.py",
    "nodes/faults/foreign_cart.py": "runs as a process of its own, in tests/nodes/faults/test_campaign.py",
    "nodes/faults/gate_graph.py": "shown through tests/nodes/faults/test_campaign.py",
    "nodes/faults/light_robot.py": "shown through tests/nodes/faults/test_supervision.py",
    "nodes/faults/policy_graph.py": "shown through tests/nodes/faults/test_campaign.py",
    "nodes/faults/row.py": "shown through tests/nodes/faults/test_campaign.py",
    "nodes/faults/slow_planner.py": "runs as a process of its own, in tests/nodes/faults/test_campaign.py",
    "nodes/faults/strangers.py": "shown through tests/nodes/faults/test_wires.py",
    "nodes/faults/wire_files.py": "shown through tests/nodes/faults/test_wires.py",
    "nodes/own_messages.py": "shown through tests/nodes/test_deadman_node.py and test_safety_gate_node.py",
    "nodes/peers.py": "shown through tests/nodes/test_executive_node.py",
    "nodes/skill_events.py": "shown through tests/nodes/test_skill_runner.py",
    "nodes/skill_servers.py": "shown through tests/nodes/test_skill_runner.py",
    "nodes/skill_threads.py": "shown through tests/nodes/test_executive_node.py",
    "nodes/stereo_messages.py": "shown through tests/nodes/test_stereo_voxel_node.py",
    "nodes/supervisor.py": "shown through tests/nodes/test_supervisor_node.py",
    "nodes/task_action.py": "shown through tests/nodes/test_executive_node.py",
    "rarrl/__main__.py": "shown through tests/cli/test_cli.py",
    "rarrl/bag/definitions.py": "shown through tests/bag/test_reader.py and tests/nodes/test_bag_types.py",
    "rarrl/cli/alfworld.py": "shown through tests/learning/alfworld/test_demo.py",
    "rarrl/cli/attacks.py": "arguments only; the work is in tests/learning/attacks/test_figures.py",
    "rarrl/cli/bag.py": "shown through tests/nodes/test_bag_replay.py",
    "rarrl/cli/common.py": "shown through tests/cli/test_cli.py",
    "rarrl/cli/demo.py": "shown through tests/cli/test_cli.py",
    "rarrl/cli/doctor.py": "shown through tests/doctor/test_broken_setups.py",
    "rarrl/cli/mission.py": "arguments only; the work is in tests/learning/household/test_evaluate.py",
    "rarrl/cli/orchestrator.py": "shown through tests/cli/test_cli.py",
    "rarrl/cli/planner.py": "arguments only; the work is in tests/learning/reasoner/test_jobs.py",
    "rarrl/cli/playing.py": "shown through tests/cli/test_cli.py (`demo`, `run`)",
    "rarrl/cli/plot.py": "shown through tests/cli/test_cli.py",
    "rarrl/cli/policy.py": "shown through tests/learning/policy/test_jobs.py",
    "rarrl/cli/policy_speed.py": "shown through tests/learning/policy/test_jobs.py",
    "rarrl/cli/profile.py": "shown through tests/cli/test_cli.py",
    "rarrl/cli/results.py": "shown through tests/cli/test_cli.py",
    "rarrl/cli/run.py": "shown through tests/cli/test_cli.py",
    "rarrl/cli/skill_missions.py": "arguments only; the work is in tests/learning/skills/test_evaluate.py",
    "rarrl/cli/sweep.py": "shown through tests/learning/orchestrator/test_sweep.py",
    "rarrl/cli/task.py": "shown through tests/cli/test_skills.py",
    "rarrl/cli/why.py": "shown through tests/test_why.py",
    "rarrl/doctor/__main__.py": "prints what tests/doctor/test_diagnosis.py checks",
    "rarrl/doctor/finding.py": "names alone",
    "rarrl/errors.py": "names alone",
    "rarrl/executive/question.py": "shown through tests/executive/test_beside.py",
    "rarrl/llama/shape.py": "shown through tests/llama/test_gguf.py",
    "rarrl/orchestrator/call_filter.py": "shown through tests/orchestrator/test_running_costs.py",
    "rarrl/policy/relevance.py": "shown through tests/policy/test_serve.py",
    "rarrl/policy/worker.py": "runs as a process of its own, in tests/policy/test_process.py",
    "rarrl/reasoner/base.py": "shown through tests/reasoner/test_breaker.py and the backends' tests",
    "rarrl/reasoner/call.py": "shown through tests/reasoner/test_openai.py",
    "rarrl/reasoner/chat_reply.py": "shown through tests/reasoner/test_openai.py",
    "rarrl/reasoner/chat_request.py": "shown through tests/reasoner/test_openai.py",
    "rarrl/reasoner/language_model.py": "shown through tests/reasoner/test_llama.py",
    "rarrl/reasoner/plan.py": "names alone",
    "rarrl/reasoner/process.py": "shown through tests/reasoner/test_llama.py",
    "rarrl/reasoner/refusal.py": "shown through tests/reasoner/test_openai.py",
    "rarrl/reasoner/replayed.py": "shown through tests/test_build.py",
    "rarrl/reasoner/worker.py": "runs as a process of its own, in tests/reasoner/test_llama.py",
    "rarrl/report/runs.py": "shown through tests/report/test_page.py",
    "rarrl/strict_json.py": "shown through tests/latency/test_profile.py",
    "rarrl/supervision/events.py": "values, used in tests/supervision/test_supervisor.py",
    "rarrl/supervision/modes.py": "shown through tests/supervision/test_supervisor.py",
    "rarrl/worker_process.py": "shown through tests/policy/test_process.py and tests/reasoner/test_llama.py",
    "sim_envs/alfred/datasets.py": "shown through tests/sim_envs/alfred/test_env.py",
    "sim_envs/alfred/make.py": "shown through tests/sim_envs/alfred/test_executive.py",
    "sim_envs/household/robot/teleport_driver.py": "shown through tests/learning/household/test_recorded_missions.py",
    "sim_envs/random_skills/ranges.py": "shown through tests/sim_envs/random_skills/test_core.py",
}
"""Source file without a test file of its own -> why. Sorted, one a line; a new test file takes its line away."""


def mirror(source: Path) -> Path:
    """Where the tests of a source file belong."""
    package, *folders, name = source.parts
    return Path(MIRRORS[package], *folders, f"test_{name}")


def sources() -> list[Path]:
    """All source files but `__init__.py`, which only name and register."""
    found = (path.relative_to(ROOT) for package in MIRRORS for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in found if path.name != "__init__.py")


def unmirrored(paths: list[Path], root: Path) -> list[str]:
    """The source files whose tests are not where they belong."""
    return [str(path) for path in paths if not (root / mirror(path)).exists()]


def test_each_source_file_has_its_test_file_or_a_reason():
    missing = set(unmirrored(sources(), ROOT)) - set(NO_MIRROR)
    assert missing == set(), "write the test file, or say in NO_MIRROR where the file is tested"


def test_the_list_holds_nothing_else_and_is_sorted():
    stale = set(NO_MIRROR) - set(unmirrored(sources(), ROOT))
    assert stale == set(), "these have their test file by now, or are gone: take them off NO_MIRROR"
    assert list(NO_MIRROR) == sorted(NO_MIRROR)


@pytest.mark.parametrize("source", NO_MIRROR)
def test_a_reason_names_tests_that_exist(source):
    named = re.findall(r"tests/[\w/]+\.py", NO_MIRROR[source])
    assert all((ROOT / name).exists() for name in named), NO_MIRROR[source]
    assert named or NO_MIRROR[source].startswith(("no test: ", "names alone"))


def test_the_rule_can_say_no(tmp_path):
    paths = [Path("rarrl/policy/serve.py"), Path("learning/policy/train.py")]
    (tmp_path / "tests/policy").mkdir(parents=True)
    (tmp_path / "tests/policy/test_serve.py").touch()
    assert unmirrored(paths, tmp_path) == ["learning/policy/train.py"]
    assert mirror(Path("rarrl/cli/ask.py")) == Path("tests/cli/test_ask.py")
