"""The graph as it is used: real nodes in processes of their own, killed and restarted."""

import os
import signal
import time

import pytest

from rarrl.config import Config, OrchestratorConfig, ReplayConfig
from rarrl.decision_loop import replay
from rarrl.errors import InputError, RarrlError
from rarrl.events import EndEvent, EpisodeEvent, ShockEvent, ThinkEvent, read_events
from rarrl.latency.profile import load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.registry import load_policy
from rarrl_nodes.processes import Processes
from rarrl_nodes.run import run_graph
from rarrl_sim_envs.alfred.make import make_executive

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition

PROFILE = "gpt4o-mini-anchor"
POLICY = 'always:{"recipe": "P2V2"}'
TIME_BUDGET_S = 6.0


def orchestrator_parameters(**changes):
    return {"orchestrator.policy": POLICY, "orchestrator.profile": PROFILE, **changes}


def replay_parameters(run_dir, **changes):
    return {
        "orchestrator.policy": POLICY,
        "orchestrator.profile": PROFILE,
        "orchestrator.time_budget_s": TIME_BUDGET_S,
        "replay.episodes": 2,
        "replay.speed": 20.0,
        "run_dir": str(run_dir),
        **changes,
    }


def start_both(ear, process, run_dir, **changes):
    """Both nodes, active when everybody has found everybody: DDS may take seconds, and `ear` wants all messages."""
    timeout = {k: v for k, v in changes.items() if k == "orchestrator.decision_timeout_s"}
    orchestrator = process("orchestrator_node", orchestrator_parameters(**timeout))
    executive = process("replay_node", replay_parameters(run_dir, autostart=False, **changes))
    assert ear.until(lambda: ear.statuses("orchestrator_node: decisions") and ear.statuses("replay_node: episodes"))
    assert ear.statuses("replay_node: episodes")[-1].message == "not active"
    assert ear.change_state("replay_node", Transition.TRANSITION_CONFIGURE)
    assert ear.change_state("replay_node", Transition.TRANSITION_ACTIVATE)
    return orchestrator, executive


@pytest.mark.slow
def test_two_processes_play_two_episodes(ear, process, tmp_path):
    orchestrator, executive = start_both(ear, process, tmp_path / "run")
    assert ear.until(lambda: executive.poll() is not None, 40.0), "the episodes do not finish"
    assert executive.returncode == 0, executive.log.read_text()
    ear.until(lambda: False, 0.3)

    decisions, budgets = ear.values("decision"), ear.values("budget")
    ids = {d["id"] for d in decisions}  # a decision may be told again, but a state has only one
    assert len(ids) == len({d["state"] for d in decisions}) == len({(d["id"], d["state"]) for d in decisions}) > 10
    for values in (*decisions, *budgets):
        assert {"id", "action", "role", "level", "time_left_s", "tokens_left", "why"} <= set(values)
        assert float(values["time_left_s"]) >= 0.0 and float(values["tokens_left"]) >= 0.0
    assert {d["action"] for d in decisions} == {"ACT", "THINK"} and {d["role"] for d in decisions} == {
        "none",
        "planner",
        "verifier",
    }
    means = ReplayTable.from_profile(load_profile(PROFILE)).costs.mean_s
    assert min(float(b["time_left_s"]) for b in budgets) < means.max(), "the budget was to be spent"
    for values in decisions:
        if float(values["time_left_s"]) < means.min():
            assert values["action"] == "ACT", "a call after the budget was spent"

    log = read_events(tmp_path / "run")
    assert log.truncated is None and log.run.source == "graph" and log.run.policy == POLICY
    ends = [e for e in log.events if isinstance(e, EndEvent)]
    starts = [e for e in log.events if isinstance(e, EpisodeEvent)]
    assert [e.episode for e in ends] == [e.episode for e in starts] == [0, 1]
    assert all(0.0 < e.llm_seconds <= TIME_BUDGET_S + 1e-9 for e in ends)
    assert [int(p["subgoals"]) for p in ear.values("plan")] == [len(s.subgoals) for s in starts]
    assert {m.data for m in ear.heard["subgoal"]} <= {name for s in starts for name in s.subgoals}
    assert ear.heard["subgoal"][0].data == starts[0].subgoals[0]

    for name in ("orchestrator_node: decisions", "replay_node: episodes"):
        assert any(s.level == DiagnosticStatus.OK for s in ear.statuses(name)), name
    assert orchestrator.poll() is None
    assert ear.until(
        lambda: any(s.message == "replay finished" for s in ear.statuses("orchestrator_node: decisions")), 4.0
    )
    orchestrator.send_signal(signal.SIGINT)
    assert orchestrator.wait(10) == 0 and "Traceback" not in orchestrator.log.read_text()


@pytest.mark.slow
def test_a_killed_replay_node_is_told_and_a_new_one_is_served(ear, process, tmp_path):
    timeout_s = 1.0
    changes = {"orchestrator.decision_timeout_s": timeout_s, "replay.episodes": 1000}
    orchestrator, executive = start_both(ear, process, tmp_path / "run", **changes)
    assert ear.until(lambda: len(ear.heard["decision"]) >= 5)
    executive.kill()
    executive.wait()
    killed = time.monotonic()
    ear.heard["/diagnostics"].clear()

    def says_so():
        return any(
            s.level == DiagnosticStatus.STALE and "(topic state) silent for" in s.message
            for s in ear.statuses("orchestrator_node: decisions")
        )

    assert ear.until(says_so, timeout_s + 3.0)
    assert time.monotonic() - killed <= timeout_s + 2.0
    assert orchestrator.poll() is None
    log = read_events(tmp_path / "run")  # a killed run is readable
    assert log.events

    again = process("replay_node", replay_parameters(tmp_path / "again", **{"replay.speed": 200.0}))
    assert ear.until(lambda: again.poll() is not None, 30.0)
    assert again.returncode == 0 and orchestrator.poll() is None
    orchestrator.terminate()
    assert orchestrator.wait(10) == 0 and "Traceback" not in orchestrator.log.read_text()


@pytest.mark.slow
def test_a_restarted_orchestrator_takes_the_episode_up(ear, process, tmp_path):
    first, executive = start_both(ear, process, tmp_path / "run", **{"orchestrator.decision_timeout_s": 1.0})
    assert ear.until(lambda: len(ear.heard["decision"]) >= 5)
    first.kill()
    first.wait()
    assert ear.until(
        lambda: any("orchestrator_node silent for" in s.message for s in ear.statuses("replay_node: episodes")), 10.0
    )
    process("orchestrator_node", orchestrator_parameters())
    assert ear.until(lambda: executive.poll() is not None, 40.0)
    assert executive.returncode == 0
    ends = [e for e in read_events(tmp_path / "run").events if isinstance(e, EndEvent)]
    assert len(ends) == 2 and all(e.llm_seconds <= TIME_BUDGET_S + 1e-9 for e in ends)


def graph(run_dir, **changes):
    settings = {
        "policy": POLICY,
        "profile": PROFILE,
        "episodes": 3,
        "seed": 11,
        "speed": 200.0,
        "run_dir": run_dir,
        "time_budget_s": TIME_BUDGET_S,
        "token_budget": 3000.0,
        "cost_weight": 0.02,
    }
    return run_graph(**{**settings, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("policy", [POLICY, 'risk_table:{"verify": 2, "failures": 1}'])
def test_graph_and_process_give_the_same_events(tmp_path, policy):
    told = []
    run = graph(tmp_path / "run", policy=policy, shock=True, on_episode=told.append)
    assert run.exit_codes == {"orchestrator_node": 0, "replay_node": 0}
    assert told[-1] == 3 and told == sorted(set(told))
    over_ros = read_events(run.run_dir)

    orchestrator = OrchestratorConfig(
        policy=policy, profile=PROFILE, time_budget_s=TIME_BUDGET_S, token_budget=3000.0, cost_weight=0.02
    )
    config = Config(orchestrator=orchestrator, replay=ReplayConfig(seed=11, episodes=3))
    costs = ReplayTable.from_profile(load_profile(PROFILE)).costs
    in_process = []
    replay(make_executive(config, shock=True), Orchestrator(load_policy(policy), costs, 0.02), 3, in_process.append)
    assert tuple(in_process) == over_ros.events
    assert any(isinstance(e, ThinkEvent) for e in in_process) and any(isinstance(e, ShockEvent) for e in in_process)


def test_run_graph_refuses_bad_settings_before_it_starts(tmp_path):
    for change in ({"speed": 0.0}, {"episodes": 0}, {"category": "Dancing"}, {"time_budget_s": float("nan")}):
        with pytest.raises(InputError, match=next(iter(change))):
            graph(tmp_path / "run", **change)
    with pytest.raises(InputError, match="ROS_DOMAIN_ID"):
        graph(tmp_path / "run", domain_id=1000)
    assert not (tmp_path / "run").exists()


def test_run_graph_passes_on_what_a_node_says(tmp_path):
    with pytest.raises(InputError, match="policy 'nonesuch' is unknown"):
        graph(tmp_path / "run", policy="nonesuch")
    (tmp_path / "alfred").mkdir()
    with pytest.raises(InputError, match="holds no ALFRED data"):
        graph(tmp_path / "run2", alfred=tmp_path / "alfred")


def test_run_graph_gives_up_in_time_and_leaves_nothing_running(tmp_path):
    with pytest.raises(RarrlError, match="not finished after 15 s"):
        graph(tmp_path / "run", episodes=1000, speed=1.0, timeout_s=15.0)
    assert read_events(tmp_path / "run").run.speed == 1.0


def test_a_node_ends_with_one_line_where_it_cannot_start(process):
    node = process("orchestrator_node", {"orchestrator.policy": "nonesuch"})
    assert node.wait(20) == 2
    text = node.log.read_text()
    assert [line[:23] for line in text.splitlines() if "rcl]" not in line] == ["rarrl: policy 'nonesuch"]


def test_a_log_that_exists_is_not_overwritten(process, tmp_path):
    (tmp_path / "events.jsonl").write_text("mine")
    node = process("replay_node", replay_parameters(tmp_path))
    assert node.wait(20) == 2 and "exists already" in node.log.read_text()
    assert (tmp_path / "events.jsonl").read_text() == "mine"


def test_a_node_that_was_told_as_ended_can_be_killed_once_more(tmp_path):
    processes = Processes(tmp_path, os.environ)
    processes.start("clock", "timeit", {})  # a module that does not know --ros-args
    end = time.monotonic() + 30.0
    while not (ended := processes.take_ended()) and time.monotonic() < end:
        time.sleep(0.02)
    assert [name for name, *_ in ended] == ["clock"]
    processes.kill_at_once("clock")
