"""The supervisor's state machine, with nodes that are played here: no process, no ROS."""

import pytest

from rarrl.supervision.events import (
    HEARTBEAT_S,
    SILENT_S,
    Adopt,
    Announce,
    Ask,
    Beat,
    Change,
    End,
    Ended,
    Kill,
    Life,
    Rule,
    Settings,
    Start,
)
from rarrl.supervision.modes import WITHOUT, Mode
from rarrl.supervision.supervisor import (
    ADOPT_S,
    ASK_S,
    BACKOFF_S,
    CHANGE_S,
    END_S,
    HALTED_S,
    KILL_S,
    SETTLE_S,
    START_S,
    STARVED_S,
    STEP_S,
    TOGETHER_S,
    Supervisor,
)

TICK_S = 0.05
BOOT_S = 1.5
RULES = (
    Rule("deadman_node", "deadman", guard=True),
    Rule("gate_node", "gate", by_person=True),
    Rule("detector_node", "detector"),
    Rule("policy_node", "policy"),
    Rule("orchestrator_node", "orchestrator"),
    Rule("executive_node", "executive"),
)


class Process:
    """A node's process as it would be: it beats, and obeys after `takes_s`."""

    def __init__(self, pid, now, life=Life.UNCONFIGURED):
        self.pid, self.life = pid, life
        self.beats_at = now + BOOT_S
        self.stopped = False
        self.troubles = {}


class World:
    """Time, processes and what the supervisor wanted.

    Attributes:
        fails: node -> how many transitions will fail yet.
        log: (time, command).
    """

    def __init__(self, rules=RULES, running=None, **settings):
        self.now = 100.0
        self.rules = rules
        self.settings = Settings(**settings)
        self.processes = {}
        self.fails = {}
        self.mute = set()  # nodes whose transitions show no effect
        self.log = []
        self.pid = 1000
        self.supervisor = Supervisor(rules, self.settings, self.now, running)

    def boot(self, node):
        self.pid += 1
        self.processes[node] = Process(self.pid, self.now)
        return self.pid

    def carry_out(self, commands):
        for command in commands:
            self.log.append((self.now, command))
            if isinstance(command, Start):
                self.supervisor.started(command.node, self.boot(command.node), self.now)
            elif isinstance(command, Kill):
                self.end(command.node, -9, "killed by SIGKILL")
            elif isinstance(command, Ask) and command.node not in self.mute:
                process = self.processes[command.node]
                ok = not self.fails.get(command.node, 0)
                self.fails[command.node] = max(self.fails.get(command.node, 0) - 1, 0)
                if process.stopped:
                    continue
                self.say(Beat(command.node, process.pid, Life.CHANGING))
                process.life = command.change.goal if ok else process.life
                failure = "" if ok else "a bad file"
                self.say(Beat(command.node, process.pid, process.life, failure, refused=not ok))

    def say(self, event):
        self.carry_out(self.supervisor.handle(event, self.now))

    def end(self, node, status=-9, how="killed by SIGKILL"):
        process = self.processes.pop(node)
        self.say(Ended(node, process.pid, status, how))

    def run(self, seconds):
        for _ in range(round(seconds / TICK_S)):
            self.now += TICK_S
            for node, process in list(self.processes.items()):
                if not process.stopped and self.now >= process.beats_at:
                    process.beats_at = self.now + HEARTBEAT_S
                    self.say(Beat(node, process.pid, process.life, troubles=process.troubles))
            self.carry_out(self.supervisor.look(self.now))

    def since(self, mark, kind):
        return [command for at, command in self.log if at > mark and isinstance(command, kind)]

    def told(self, mark=0.0):
        return [str(command.status) for command in self.since(mark, Announce)]

    @property
    def mode(self):
        return self.supervisor.status.mode

    def life(self, node):
        return self.processes[node].life


def up(**settings):
    world = World(**settings)
    world.run(4.0)
    assert world.mode is Mode.NORMAL
    return world


def test_all_is_brought_up_in_order_and_said_twice():
    world = up()
    asked = [(c.node, c.change) for c in world.since(0.0, Ask)]
    assert [node for node, change in asked if change is Change.ACTIVATE] == [rule.name for rule in RULES]
    assert [c.node for c in world.since(0.0, Start)] == [rule.name for rule in RULES]
    told = world.told()
    assert len(told) == 2 and told[0].startswith("stop: starting, waits for deadman, gate")
    assert told[1].startswith("normal: ") and "executive is back" in told[1]


def test_none_is_activated_before_the_one_in_front_of_it():
    world = World()
    world.mute.add("detector_node")
    world.run(3.0)
    lives = [world.life(rule.name) for rule in RULES]
    assert lives == [Life.ACTIVE, Life.ACTIVE, Life.UNCONFIGURED, *[Life.INACTIVE] * 3]


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.by_person], ids=lambda rule: rule.part)
@pytest.mark.parametrize("how", ["ends", "is stopped"])
def test_a_lost_node_is_detected_told_once_restarted_and_activated_again(rule, how):
    world = up()
    lost = world.now
    if how == "ends":
        world.end(rule.name)
    else:
        world.processes[rule.name].stopped = True
    world.run(1.0)

    assert world.mode is WITHOUT[rule.part][0]
    (detected,) = [at for at, c in world.log if at >= lost and isinstance(c, Announce)]
    assert detected - lost <= (2 * TICK_S if how == "ends" else SILENT_S + 2 * TICK_S)
    (text,) = world.told(lost - TICK_S / 2)
    assert f"no {rule.part} (" in text and ("SIGKILL" if how == "ends" else "alive, but silent") in text
    assert len(world.since(lost, Kill)) == (how != "ends")

    world.run(3.0)
    assert world.mode is Mode.NORMAL and world.life(rule.name) is Life.ACTIVE
    assert [c.node for c in world.since(lost, Start)] == [rule.name]
    assert len(world.told(lost - TICK_S / 2)) == 2 and f"{rule.part} is back after" in world.told()[-1]


def test_a_node_that_vouches_for_the_room_is_restarted_and_left_to_a_person():
    world = up()
    lost = world.now
    world.end("gate_node")
    world.run(5.0)
    assert world.life("gate_node") is Life.INACTIVE and world.mode is Mode.STOP
    assert [c.change for c in world.since(lost, Ask)] == [Change.CONFIGURE]
    world.processes["gate_node"].life = Life.ACTIVE
    world.run(0.5)
    assert world.mode is Mode.NORMAL


def test_nothing_is_activated_behind_a_guard_that_is_lost():
    world = up()
    world.end("deadman_node")
    world.end("policy_node")
    world.mute.add("deadman_node")
    world.run(4.0)
    assert world.life("policy_node") is Life.INACTIVE
    world.mute.clear()
    world.run(ASK_S + 1.0)
    assert world.life("policy_node") is Life.ACTIVE and world.mode is Mode.NORMAL


def test_the_most_severe_mode_wins_and_each_is_told_once():
    world = up()
    began = world.now
    for node in ("orchestrator_node", "policy_node", "detector_node"):
        world.fails[node] = 100
        world.end(node)
        world.run(0.1)
    modes = [c.status.mode for c in world.since(began - TICK_S / 2, Announce)]
    assert modes == [Mode.BEST_RULE, Mode.HOLD, Mode.STOP]
    assert world.told()[-1].startswith("stop: no detector (killed by SIGKILL): the gate sees no free space; no policy")


def test_the_table_names_what_each_part_is_lost_for():
    assert {part: mode for part, (mode, _) in WITHOUT.items()} == {
        "deadman": Mode.STOP,
        "gate": Mode.STOP,
        "robot": Mode.STOP,
        "detector": Mode.STOP,
        "executive": Mode.STOP,
        "policy": Mode.HOLD,
        "orchestrator": Mode.BEST_RULE,
        "reasoner": Mode.ACT_ONLY,
    }
    assert Mode.STOP > Mode.HOLD > Mode.BEST_RULE > Mode.ACT_ONLY > Mode.NORMAL


def test_a_part_inside_a_node_that_works_is_missing_as_long_as_the_node_says_so():
    world = up()
    world.processes["orchestrator_node"].troubles = {"reasoner": "the worker was killed"}
    world.run(0.5)
    assert world.mode is Mode.ACT_ONLY
    assert world.told()[-1] == "act only: no reasoner (the worker was killed): there is nobody to ask"
    world.processes["orchestrator_node"].troubles = {"reasoner": ""}
    world.run(0.5)
    assert world.mode is Mode.NORMAL and "reasoner is back after 0." in world.told()[-1]
    assert not world.since(104.5, Start)


def test_a_node_that_fails_to_configure_three_times_is_given_up_and_tried_again_on_request():
    world = World()
    world.fails["detector_node"] = 3
    world.run(5.0)
    tries = [c for c in world.since(0.0, Ask) if c.node == "detector_node"]
    assert len(tries) == 3 and world.mode is Mode.STOP
    assert world.life("executive_node") is Life.ACTIVE, "the others do not wait for it"
    assert "no detector (given up: cannot configure: a bad file" in world.told()[-1]
    assert not world.since(0.0, End)

    assert world.supervisor.retry(world.now) == ["detector_node"]
    world.run(2.0)
    assert world.mode is Mode.NORMAL


def test_restarts_come_later_and_later_and_end():
    world = up(restarts=4, attempts=100)
    gaps = []
    for _ in range(4):
        mark = world.now
        world.end("policy_node")  # from the second time on before it was heard
        while "policy_node" not in world.processes:
            world.run(TICK_S)
        gaps.append(world.now - mark)
    assert gaps == pytest.approx(BACKOFF_S[:4], abs=1.5 * TICK_S)

    world.end("policy_node")
    world.run(60.0)
    assert "policy_node" not in world.processes and world.mode is Mode.HOLD
    assert "given up: killed by SIGKILL" in world.told()[-1]


def test_failures_that_are_long_past_do_not_count():
    world = up(restarts=2, window_s=20.0)
    for _ in range(4):
        world.end("policy_node")
        world.run(15.0)
        assert world.mode is Mode.NORMAL


def test_a_process_that_was_refused_its_parameters_is_not_started_again():
    world = World(end_if_given_up=True)
    world.run(0.1)
    world.end("policy_node", 2, "config: policy.folder: no such folder")
    world.run(3.0)
    assert world.since(0.0, End) == [End("policy_node: config: policy.folder: no such folder", refused=True)]
    assert len([c for c in world.since(0.0, Start) if c.node == "policy_node"]) == 1


def test_a_node_that_is_given_up_ends_a_run():
    world = World(end_if_given_up=True)
    world.fails["policy_node"] = 3
    world.run(5.0)
    assert world.since(0.0, End) == [End("policy_node: cannot configure: a bad file", refused=True)]


@pytest.mark.parametrize(("status", "why"), [(0, ""), (-11, "robot_node: killed by SIGSEGV")])
def test_the_end_of_an_essential_node_ends_the_graph(status, why):
    world = up(rules=(*RULES, Rule("robot_node", "robot", essential=True)))
    world.end("robot_node", status, "killed by SIGSEGV")
    world.run(3.0)
    assert world.since(0.0, End) == [End(why)]
    assert len(world.since(104.5, Start)) == 0


def test_an_essential_node_that_hangs_is_killed_and_ends_the_graph():
    world = up(rules=(*RULES, Rule("robot_node", "robot", essential=True)))
    world.processes["robot_node"].stopped = True
    world.run(2.0)
    (end,) = world.since(0.0, End)
    assert end.why.startswith("robot_node: alive, but silent for 0.")


def test_a_transition_may_take_long_and_not_for_ever():
    world = up()
    policy = world.processes["policy_node"]
    world.say(Beat("policy_node", policy.pid, Life.CHANGING))
    policy.stopped = True
    world.run(CHANGE_S - 1.0)
    assert not world.since(104.5, Kill)
    world.run(2.0)
    assert [c.why for c in world.since(104.5, Kill)] == [f"a transition took longer than {CHANGE_S:g} s"]


def test_a_process_that_never_speaks_is_killed():
    world = World(rules=RULES[:1])
    world.run(TICK_S)
    world.processes["deadman_node"].stopped = True
    world.run(START_S + 1.0)
    assert [c.why for c in world.since(0.0, Kill)] == [f"no heartbeat {START_S:g} s after its start"]


def test_a_transition_without_any_effect_is_asked_for_again():
    world = World(rules=RULES[:1])
    world.mute.add("deadman_node")
    world.run(BOOT_S + ASK_S + 1.0)
    assert len(world.since(0.0, Ask)) == 2


def test_a_process_that_survives_its_kill_is_killed_again():
    world = up()
    pid = world.processes["policy_node"].pid
    world.processes.pop("policy_node")
    world.carry_out = lambda commands: world.log.extend((world.now, c) for c in commands)  # nothing is done
    world.run(SILENT_S + 2 * KILL_S + 0.3)
    assert {(c.node, c.pid) for c in world.since(0.0, Kill)} >= {("policy_node", pid)}
    assert len([c for c in world.since(0.0, Kill) if c.node == "policy_node"]) == 3


def test_a_supervisor_that_did_not_run_blames_nobody():
    world = up()
    mark = world.now
    world.now += 30.0  # its process was stopped, and so were all messages
    world.run(1.0)
    assert not world.since(mark, Kill) and not world.since(mark, Announce)
    assert STEP_S + HEARTBEAT_S < SILENT_S


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_a_node_that_waits_for_a_processor_is_forgiven_for_a_while(share):
    """share: of its silence in which it was ready to run."""
    world = up()
    policy, mark = world.processes["policy_node"], world.now
    world.supervisor._waited = lambda pid: share * (world.now - mark) if pid == policy.pid else 0.0
    policy.stopped = True
    world.run(20.0)
    (killed,) = [at - mark for at, c in world.log if at > mark and isinstance(c, Kill)]
    expected = min(SILENT_S / max(1.0 - share, 1e-9), SILENT_S + STARVED_S)
    assert killed == pytest.approx(expected, abs=2 * HEARTBEAT_S)


def test_one_that_a_signal_has_stopped_is_not_waited_for():
    world = up()
    policy, mark = world.processes["policy_node"], world.now
    world.supervisor._halted = lambda pid: pid == policy.pid
    policy.stopped = True
    world.run(0.7)
    (killed,) = [(at - mark, c.why) for at, c in world.log if at > mark and isinstance(c, Kill)]
    assert killed[0] <= HALTED_S + 2 * TICK_S and killed[1].startswith("stopped by a signal")


@pytest.mark.parametrize("seconds", [2.5, 3.5])
def test_where_several_are_silent_at_once_it_is_not_they_who_are_at_fault(seconds):
    world = up()
    mark = world.now
    together = ("gate_node", "policy_node", "orchestrator_node")
    for node in together:
        world.processes[node].stopped = True
    world.run(seconds)
    assert {c.node for c in world.since(mark, Kill)} == (set(together) if seconds > TOGETHER_S else set())
    for node in together:
        world.processes[node].stopped = False
    world.run(0.5)
    assert (world.mode is Mode.NORMAL) == (seconds < TOGETHER_S)


def test_a_restarted_supervisor_takes_running_nodes_as_they_are():
    world = up()
    pids = {node: process.pid for node, process in world.processes.items()}
    assert world.supervisor.running == pids
    world.supervisor = Supervisor(RULES, Settings(), world.now, pids)
    mark = world.now
    world.run(2.0)
    assert world.mode is Mode.NORMAL
    assert not world.since(mark, (Start, Ask, Kill))

    world.end("policy_node")
    world.run(2.0)
    assert [c.node for c in world.since(mark, Start)] == ["policy_node"] and world.mode is Mode.NORMAL


def test_one_that_knows_no_numbers_finds_them_by_their_heartbeats():
    world = up()
    world.supervisor = Supervisor(RULES, Settings(listen_s=1.0), world.now)
    mark = world.now
    world.processes.pop("policy_node")
    world.run(3.0)
    assert {c.node for c in world.since(mark, Adopt)} == {rule.name for rule in RULES} - {"policy_node"}
    assert [c.node for c in world.since(mark, Start)] == ["policy_node"] and world.mode is Mode.NORMAL


def test_one_that_was_found_and_stays_silent_is_killed():
    world = World(rules=RULES[:1], running={"deadman_node": 77})
    world.processes["deadman_node"] = Process(77, world.now)
    world.processes["deadman_node"].stopped = True
    world.run(ADOPT_S + 0.5)
    assert [c.pid for c in world.since(0.0, Kill)] == [77]


def test_what_somebody_has_deactivated_stays_so_and_is_told_after_a_while():
    world = up()
    mark = world.now
    world.processes["detector_node"].life = Life.INACTIVE
    world.run(SETTLE_S - 0.5)
    assert world.mode is Mode.NORMAL
    world.run(5.0)
    assert world.mode is Mode.STOP and not world.since(mark, Ask)
    assert "somebody has made it inactive" in world.told()[-1]
    world.processes["detector_node"].life = Life.ACTIVE
    world.run(0.5)
    assert world.mode is Mode.NORMAL


def test_a_second_process_of_a_name_is_left_alone_and_named():
    world = up()
    mark = world.now
    world.say(Beat("policy_node", 9, Life.ACTIVE))
    world.run(1.0)
    assert world.supervisor.seconds == {"policy_node": 9}
    assert world.supervisor.running["policy_node"] != 9 and not world.since(mark, (Kill, Start))
    world.run(SETTLE_S)
    assert world.supervisor.seconds == {}


def test_one_that_only_watches_does_nothing_but_tell():
    world = World(manage=False)
    for rule in RULES:
        world.boot(rule.name)
        world.processes[rule.name].life = Life.ACTIVE
    world.run(2.0)
    assert world.mode is Mode.NORMAL

    world.processes["detector_node"].stopped = True
    world.run(1.0)
    assert world.mode is Mode.STOP and "alive, but silent" in world.told()[-1]
    world.boot("detector_node")  # by whoever manages it
    world.processes["detector_node"].life = Life.ACTIVE
    world.run(BOOT_S + 0.5)
    assert world.mode is Mode.NORMAL

    world.end("policy_node")
    world.run(0.5)
    assert world.mode is Mode.HOLD
    assert {type(c) for _, c in world.log} == {Announce, Adopt}


def test_events_of_nodes_that_are_not_ours_and_of_former_processes_change_nothing():
    world = up()
    mark = world.now
    for event in (Beat("foreign_node", 5, Life.ACTIVE), Ended("policy_node", 5, -9, "killed by SIGKILL")):
        world.say(event)
    world.run(1.0)
    assert not world.since(mark, object)


def test_ages_are_those_of_the_last_heartbeats():
    world = up()
    world.processes["policy_node"].stopped = True
    world.run(0.5)
    ages = world.supervisor.ages(world.now)
    assert 0.5 <= ages["policy_node"] <= 0.75 and ages["detector_node"] <= HEARTBEAT_S + TICK_S

    world.processes["policy_node"].stopped = False
    world.run(0.2)
    assert 0.5 < world.supervisor.gaps["policy_node"] < SILENT_S
    assert world.supervisor.gaps["detector_node"] == pytest.approx(HEARTBEAT_S, abs=2 * TICK_S)


def test_a_process_that_says_that_it_ends_gets_time_for_it():
    world = up()
    mark = world.now
    policy = world.processes["policy_node"]
    world.say(Beat("policy_node", policy.pid, Life.FINALIZED))
    policy.stopped = True
    world.run(END_S - 1.0)
    assert not world.since(mark, Kill)
    world.run(2.0)
    assert [c.why for c in world.since(mark, Kill)] == [f"did not end within {END_S:g} s"]
