"""The same policy and latency profile decide the same, one by one, wherever they are put together.

Before `rarrl.build.make_orchestrator` five places did that, each in its own way:

- The node took a profile for the household's where its name began with `household-`; `rarrl replay` and `rarrl why`
  never did. So `after_failure` on household-training asked planner 2 in the node, and planner 1 in a replay. The
  header's `world` now says it, and the household's own tuning is right everywhere: it was fitted to those missions.
- `learned` meant the household's weights in `rarrl eval mission`, those for recorded answers in `rarrl eval
  orchestrator --profile recorded`, and in the node, in `rarrl replay` and in `rarrl why` those for plain latencies,
  which see no plan at all. It now means the weights that were trained for such a profile. What
  benchmarks/results/mission.json measured is unchanged: `rarrl eval mission` had the right ones.
"""

import json
from importlib.util import find_spec

import pytest
from hand_made import profile as hand_made_profile
from typer.testing import CliRunner

from rarrl.build import make_orchestrator
from rarrl.cli import app
from rarrl.config import config_from_flat
from rarrl.decision_loop import replay
from rarrl.events import ActEvent, ThinkEvent, read_events
from rarrl.latency.profile import World, load_profile, save_profile, shipped_profiles
from rarrl.orchestrator.learned import load_learned
from rarrl.orchestrator.registry import HOUSEHOLD_RULES_FILE, RECORDED_RULES_FILE, RULES_FILE, SHIPPED, tuned_parameters
from rarrl.why import explain
from rarrl_sim_envs.alfred.make import make_executive

EPISODES = 3
COST_WEIGHT = 0.01
PLAIN = "groq-70b"
POLICIES = ("after_failure", "learned")
RULES = {
    "plain": tuned_parameters("binding", RULES_FILE),
    "recorded": tuned_parameters("binding", RECORDED_RULES_FILE),
    "household": tuned_parameters("mission", HOUSEHOLD_RULES_FILE),
}
WEIGHTS = {"plain": "policy", "recorded": "recorded", "household": "household"}


@pytest.fixture(params=RULES)
def kind(request):
    return request.param


@pytest.fixture
def profile(kind, tmp_path):
    """Name or path of a profile of that kind. The name of the file says nothing of it."""
    if kind == "plain":
        return PLAIN
    path = tmp_path / ("household-looks-so.json" if kind == "recorded" else "other.json")
    save_profile(hand_made_profile("other", World.HOUSEHOLD if kind == "household" else None), path)
    return str(path)


def decisions(events):
    """What was decided, one by one, and what came of it."""
    found = []
    for event in events:
        if isinstance(event, ActEvent):
            found.append((event.episode, event.decision, "ACT", event.subgoal, event.status))
        elif isinstance(event, ThinkEvent):
            found.append((event.episode, event.decision, event.role, event.level, event.status))
    return found


def by_command(policy, profile, folder):
    """Through `rarrl replay`."""
    done = CliRunner().invoke(
        app,
        f"replay --policy {policy} --episodes {EPISODES} --cost-weight {COST_WEIGHT}".split()
        + f"--profile {profile} --out {folder}".split(),
    )
    assert done.exit_code == 0, done.output
    return decisions(read_events(folder / f"1_{policy}").events)


def by_hand(orchestrator, profile):
    """Through the library, with an orchestrator at hand."""
    flat = {"orchestrator.profile": profile, "replay.episodes": EPISODES}
    events = []
    replay(make_executive(config_from_flat(flat, "test")), orchestrator, EPISODES, events.append)
    return decisions(events)


def is_right(policy, name, kind):
    """Whether the policy that `name` came to is the one fitted to profiles of that kind."""
    if name == "learned":
        expected = load_learned(SHIPPED / f"{WEIGHTS[kind]}.safetensors")
        return all((a == b).all() for a, b in zip(policy.weights, expected.weights, strict=True))
    return policy.params == RULES[kind][name]


@pytest.mark.parametrize("name", POLICIES)
def test_replay_and_the_library_decide_the_same_and_by_what_was_fitted(name, kind, profile, tmp_path):
    orchestrator = make_orchestrator(name, profile, COST_WEIGHT)
    assert is_right(orchestrator.policy, name, kind)
    found = by_command(name, profile, tmp_path / "run")
    assert found == by_hand(orchestrator, profile)
    assert len(found) > EPISODES and any(entry[2] == "planner" for entry in found)


@pytest.mark.parametrize("name", POLICIES)
def test_missions_are_put_together_as_a_replay_of_the_household(name, kind, profile, tmp_path):
    """Where latencies of another model are played in the home, the home's rules and weights stay."""
    from rarrl_learning.household.evaluate import Setting, orchestrator_of

    orchestrator = orchestrator_of(Setting(policy=name, latency=profile, cost_weight=COST_WEIGHT))
    assert is_right(orchestrator.policy, name, "household")
    assert orchestrator.costs.mean_s.tolist() == make_orchestrator(name, profile).costs.mean_s.tolist()
    if kind == "household":
        assert by_hand(orchestrator, profile) == by_command(name, profile, tmp_path / "run")


@pytest.mark.skipif(find_spec("rclpy") is None, reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
@pytest.mark.parametrize("name", POLICIES)
def test_the_nodes_decide_the_same(name, kind, profile, tmp_path):
    from rarrl_nodes.run import run_graph

    defaults = config_from_flat({}, "test").orchestrator
    run_graph(
        policy=name,
        profile=profile,
        episodes=EPISODES,
        seed=0,
        speed=1000.0,
        run_dir=tmp_path / "graph",
        time_budget_s=defaults.time_budget_s,
        token_budget=defaults.token_budget,
        cost_weight=COST_WEIGHT,
    )
    in_graph = decisions(read_events(tmp_path / "graph").events)
    assert in_graph == by_command(name, profile, tmp_path / "run")


@pytest.mark.parametrize("name", POLICIES)
def test_why_finds_the_same_decisions_again(name, kind, profile, tmp_path):
    from rarrl.report.runs import read_runs

    by_command(name, profile, tmp_path / "run")
    (run,) = read_runs(tmp_path / "run")
    explained = explain(run, COST_WEIGHT)
    assert explained and all(one.recomputed == one.choice for one in explained)


def test_shipped_profiles_say_where_they_are_from():
    worlds = {name: load_profile(name).world for name in shipped_profiles()}
    assert {name for name, world in worlds.items() if world is World.HOUSEHOLD} == {
        "household-heldout",
        "household-training",
    }
    assert worlds["household"] is World.ALFRED and worlds["rarrl-planner-valid-seen"] is World.ALFRED
    assert worlds[PLAIN] is None and worlds["gpt4o-mini-anchor"] is None


def test_the_measured_missions_had_the_policies_that_they_have_now():
    """The setting of benchmarks/results/mission.json: what calls cost is that of household-training."""
    from rarrl_learning.household.evaluate import Setting, orchestrator_of

    for name in POLICIES:
        orchestrator = orchestrator_of(Setting(policy=name))
        assert is_right(orchestrator.policy, name, "household")
        again = make_orchestrator(name, "household-training")
        assert is_right(again.policy, name, "household")
        assert orchestrator.costs.mean_s.tolist() == again.costs.mean_s.tolist()


def test_an_old_file_without_a_world_is_read_and_written_as_it_was(tmp_path):
    path = tmp_path / "old.json"
    save_profile(hand_made_profile(), path)
    assert "world" not in json.loads(path.read_text())["header"]
    assert load_profile(path).world is World.ALFRED
    save_profile(load_profile(path), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
