"""A run's log, played to the view: the player's clock, and the story at any time."""

import pytest

from rarrl.build import make_orchestrator
from rarrl.config import config_from_flat
from rarrl.decision_loop import replay
from rarrl.events import EventWriter, RunEvent
from rarrl.report.runs import read_run
from rarrl.view.recorded import NO_THINK, Player, episode_player, stories
from rarrl.view.state import Moment, Snapshot, Story
from rarrl.why import explain
from rarrl_sim_envs.alfred.make import make_executive

CONFIG = config_from_flat({"orchestrator.policy": "learned", "replay.seed": 3}, "test")
PRICE = CONFIG.orchestrator.cost_weight


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    chosen = CONFIG.orchestrator
    header = RunEvent(
        policy="learned", profile=chosen.profile, seed=3, speed=1.0, date="2026", source="in_process", cost_weight=PRICE
    )
    with EventWriter(folder, header) as log:
        replay(make_executive(CONFIG, shock=True), make_orchestrator(chosen), 3, log)
    return read_run(folder)


class Hands:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self):
        return self.now


def player(duration_s=10.0, speed=2.0):
    clock, opened = Hands(), []

    def open_():
        opened.append(1)
        return lambda t_s: Snapshot(Moment(t_s), Story())

    return Player(open_, duration_s, "a test", speed, clock), clock, opened


def test_it_stands_until_somebody_watches_and_then_runs_at_its_speed():
    played, clock, _ = player()
    clock.now += 50
    assert played.look().moment.t_s == 0.0
    played.watch(True)
    clock.now += 1
    assert played.look().moment.t_s == 2.0
    played.watch(False)
    played.watch(True)
    clock.now += 1
    shown = played.look()
    assert shown.moment.t_s == 4.0 and shown.controls.recorded and not shown.controls.paused


def test_it_can_be_paused_and_goes_on_where_it_stood():
    played, clock, _ = player()
    played.watch(True)
    clock.now += 1
    assert played.pause(True) == "" and played.look().controls.paused
    clock.now += 100
    stood = played.look()
    assert stood is played.look(), "nothing new is sent while it stands"
    played.pause(False)
    clock.now += 0.5
    assert played.look().moment.t_s == pytest.approx(stood.moment.t_s + 1.0)


def test_at_its_end_it_stands_and_can_be_played_again():
    played, clock, opened = player()
    played.watch(True)
    clock.now += 100
    end = played.look()
    assert (end.moment.t_s, end.controls.paused, end.controls.resume_label) == (10.0, True, "Play again")
    played.pause(False)
    clock.now += 1
    assert played.look().moment.t_s == 2.0 and len(opened) == 2
    assert played.think_now() == NO_THINK == played.look().controls.no_think


def test_the_story_of_each_episode_goes_as_the_log_says(run):
    for episode in run.episodes:
        told = stories(run, episode, explain(run, PRICE), PRICE)
        times = [one.t_s for one in told]
        assert times == sorted(times) and times[0] == episode.start.t and times[-1] == episode.end.t
        last = told[-1].story
        assert last.status == ("done" if episode.end.success else "failed")
        calls = [bar for bar in last.bars if bar.role]
        assert [(b.decision, b.t0_s, b.t1_s) for b in calls] == [(e.decision, e.t0, e.t1) for e in episode.thinks]
        assert len(last.bars) == len(episode.acts) + len(episode.thinks)
        assert all(bar.t1_s is None or bar.t1_s >= bar.t0_s for one in told for bar in one.story.bars)


def test_each_decision_is_explained_while_it_is_carried_out(run):
    episode = run.episodes[0]
    explained = {one.decision: one for one in explain(run, PRICE)}
    told = stories(run, episode, list(explained.values()), PRICE)
    open_now = [one.story for one in told if one.story.bars and one.story.bars[-1].t1_s is None]
    assert open_now
    for story in open_now:
        reason, bar = story.reason, story.bars[-1]
        assert reason.decision == bar.decision
        assert [option.label for option in reason.options if option.chosen] == [reason.label]
        assert [option.seconds for option in reason.options] == [s for s, _ in explained[reason.decision].expected]
        assert reason.options[1].price == pytest.approx(PRICE * reason.options[1].seconds)


def test_an_episode_from_beginning_to_end(run):
    number = run.episodes[1].number
    played = episode_player(run, number, PRICE, speed=1.0)
    begin = played.look()
    assert begin.story.status in ("acting", "thinking") and begin.story.episode == number
    assert begin.moment.t_s == run.episodes[1].start.t and "episode 1" in begin.controls.source
    with pytest.raises(KeyError):
        episode_player(run, 99, PRICE)
