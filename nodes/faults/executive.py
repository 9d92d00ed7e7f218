"""What becomes of tasks where parts of the robot fail: executive and orchestrator over real ROS processes.

Processes: a robot that is not ours (`foreign_cart`, no line of rarrl), executive_node, orchestrator_node with a
language model that is none (it answers the plan of the task after half a second; where its process is killed, it has
one, and is asked beside acting). A task has two rows: cup and book go to the other place; the executive adds
driving, taking and looking. Each fault strikes at a random time of each trial. Unsafe, or counted:

    two_goals_at_once   by the cart itself: goals that began while another one was at work
    stale_applied       rows that were told done without a goal of that task that the cart said it had done
    lost_tasks          neither succeeded nor ended with a reason within TRIAL_S
    false_success       tasks that ended as succeeded where the cart had not done both rows (told: a server may lie)
    lost_steps          goals that began and were not carried out to their end, where the language model alone failed
    active_s            from the kill of an executive until the next one was active; a supervisor forks it, as here
    recover_s           from the same kill until it had its goal again, or a new one came"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .row import Row, Trial
from .station import STAGE, START_S, Station, own_domain

COMMON = """outcome: {success: [SUCCEEDED], refused: [ABORTED], cancelled: [CANCELED]}
    expected_s: 0.5
    accept_s: 2.0
    timeout_s: 4.0
    cancel_s: 1.0
    retry: 3"""
GO_AND_LOOK = """
robot: a cart with one hand
skills:
  go:
    does: drives to a place
    parameters: {to: place}
    run: {action: go, type: test_msgs/action/Fibonacci, goal: {order: "{to.x}"}}
    gives: ["at {to}"]
    %(common)s
  look:
    does: looks for things where the cart stands
    parameters: {at: place}
    run: {python: "rarrl_nodes.faults.foreign_cart:look"}
    outcome: {field: success, success: [true]}
    needs: ["at {at}"]
    observes: {list: seen, thing: thing}
    expected_s: 0.1
"""
TAKE_AND_PUT = """
  take_%(thing)s:
    does: takes a thing that is where the cart stands
    parameters: {thing: %(thing)ss}
    run: {action: take_%(thing)s, type: test_msgs/action/Fibonacci, goal: {order: 0}}
    needs: [hand_empty, "at {thing.place}"]
    gives: ["holding {thing}"]
    %(common)s
  put_%(thing)s:
    does: puts the thing in the hand down
    parameters: {thing: %(thing)ss, to: place}
    run: {action: put_%(thing)s, type: test_msgs/action/Fibonacci, goal: {order: "{to.x}"}}
    needs: ["holding {thing}", "at {to}"]
    gives: ["{thing} at {to}"]
    %(common)s
"""
THINGS, PLACES = ("cup", "book"), ("shelf", "desk")
WORLD = """
start: shelf
places: {shelf: {pose: [1, 0, 0]}, desk: {pose: [2, 0, 0]}}
things: {cup: {at: [shelf], groups: [cups]}, book: {at: [shelf], groups: [books]}}
"""


def sentence(place: str) -> str:
    """What a person says."""
    return f"cup and book to the {place}"


def plan_rows(place: str) -> list[list[str]]:
    """The plan of that."""
    return [["put_cup", "cup", place], ["put_book", "book", place]]


def skills_file() -> str:
    """The cart's skills."""
    parts = [GO_AND_LOOK % {"common": COMMON}, *(TAKE_AND_PUT % {"thing": t, "common": COMMON} for t in THINGS)]
    examples = [{"say": sentence(place), "plan": plan_rows(place)} for place in PLACES]
    return "".join(parts) + "examples: " + json.dumps(examples) + "\n"


TRIAL_S = 90.0
"""Seconds after which a task counts as lost; the slowest fault, a server that keeps a goal, takes a third of it."""
FLOOD_S = 2.0
FLOODS: dict[str, tuple[float, Callable[[int], str]]] = {
    "flood": (1000.0, lambda number: f"bring {number} moons to the sea"),
    "huge": (2.0, lambda number: f"{number} " + "moon " * 2_000_000),
    "controls": (50.0, lambda number: f"moon\x1b[2J\r\n{chr(number % 32 or 7)}\u202e{number}"),
}
"""Fault -> instructions a second, and the text of each."""
THOUGHTS = "thoughts.jsonl"
JOURNALS = "journals"
JOURNAL_WORDS = "cannot be written"
"""What the executive says on /diagnostics of a journal that it cannot write."""
MODES = {
    "cancel_lost": "deaf",
    "result_late": "late",
    "goal_rejected": "rejects",
    "server_lies": "lies",
    "server_thinks": "thinks",
    "thinks_and_executive_killed": "thinks_on",
}


THINKS_S = 0.8
"""Seconds that the language model with a process of its own thinks: longer than the cart takes for a step."""
RULES = {
    "orchestrator_killed": 'always:{"recipe": "P1"}',
    "worker_killed_mid_thought": 'always:{"recipe": "P1", "beside": true}',
}
"""When the orchestrator asks; after a failure where nothing else is said."""


class HalfASecond:
    """A language model that is none: it answers with the plan of the task, half a second later."""

    name = "half_a_second"

    def ask(self, request: Any) -> Any:
        """See `rarrl.reasoner.base.Reasoner`."""
        from rarrl.reasoner.base import Answer
        from rarrl.reasoner.plan import Plan, Verdict
        from rarrl.types import CallStatus, Role

        time.sleep(0.5)
        plan = Plan.from_rows(plan_rows(request.goal.split()[-1]))
        is_planner = request.role is Role.PLANNER
        return Answer(
            request.decision,
            request.role,
            request.level,
            CallStatus.OK,
            seconds=0.5,
            backend=self.name,
            plan=plan if is_planner else None,
            verdict=None if is_planner else Verdict(True, None, 1.0),
        )

    def close(self) -> None:
        """Nothing."""


class InAProcess:
    """The same, with a process of its own (`slow_planner`), which thinks for THINKS_S."""

    name = "in_a_process"

    def __init__(self) -> None:
        """Starts the process."""
        from rarrl.reasoner.call import CallsUnderWay
        from rarrl.worker_process import WorkerCommand, WorkerProcess

        first = {"log": os.environ["FOREIGN_CART_THOUGHTS"]}
        self._worker = WorkerProcess(
            WorkerCommand("slow planner", ("rarrl_nodes.faults.slow_planner",), first, START_S, 60_000, "")
        )
        self._calls = CallsUnderWay()

    def ask(self, request: Any) -> Any:
        """See `rarrl.reasoner.base.Reasoner`."""
        from rarrl.reasoner.base import Answer
        from rarrl.reasoner.call import UsageMeter
        from rarrl.reasoner.plan import Plan
        from rarrl.types import CallStatus
        from rarrl.worker_process import CallFailedError

        meter, status, why, plan = UsageMeter(request), CallStatus.OK, "", None
        text = json.dumps(plan_rows(request.goal.split()[-1]))
        with self._calls.add(request, meter):
            try:
                got = self._worker.call("plan", meter.deadline, meter.withdrawal, thinks_s=THINKS_S, text=text)
                plan = Plan.from_rows(json.loads(got["text"]))
            except CallFailedError as error:
                status, why = error.status, str(error)
        seconds = time.monotonic() - meter.started
        return Answer(request.decision, request.role, request.level, status, seconds, self.name, plan=plan, why=why)

    def cancel(self, decision: int) -> bool:
        """See `rarrl.reasoner.base.Withdrawable`."""
        return self._calls.withdraw(decision)

    def close(self) -> None:
        """Ends the process."""
        self._worker.close()


@dataclass
class Task:
    """What came of one task."""

    status: str = "lost"
    why: str = ""
    seconds: float = 0.0
    skills: int = 0
    calls: int = 0
    two_goals_at_once: int = 0
    stale_applied: int = 0
    done: bool = False
    active_s: float | None = None
    resume_s: float | None = None
    lost_steps: int = 0
    killed_mid_thought: int = 0
    answers_applied: int = 0
    complained: bool = True


@dataclass
class Told:
    """One message on the topic `task`."""

    at: float
    values: dict[str, str] = field(default_factory=dict)


class Bench:
    """The processes of one fault, and a person who speaks to them."""

    def __init__(self, folder: Path, fault: str, station: Station, processes: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import QoSProfile
        from std_msgs.msg import Empty, String
        from std_srvs.srv import Trigger

        from ..lifecycle import LATCHED

        self.folder, self.fault, self.luck = folder, fault, random.Random(0)
        self.namespace = f"/{fault}"
        self._processes = processes
        self.until = station.wait
        self.wait = station.listen
        node = station.node
        self._told: list[Told] = []
        self._read = 0
        qos = QoSProfile(depth=100, reliability=LATCHED.reliability, durability=LATCHED.durability)
        node.create_subscription(DiagnosticArray, f"{self.namespace}/task", self._on_task, qos)
        self.said: list[str] = []  # on /diagnostics
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self._killed = 0  # processes of the language model, in this trial
        self._alive = 0.0  # when the orchestrator was heard last
        node.create_subscription(Empty, f"{self.namespace}/alive", self._on_alive, 1)
        self._talk = node.create_publisher(String, f"{self.namespace}/instruction", 10)
        self._cancel = node.create_client(Trigger, f"{self.namespace}/executive_node/cancel")
        (folder / "skills.yaml").write_text(skills_file())
        (folder / "world.yaml").write_text(WORLD)
        (folder / "truth.json").write_text(json.dumps({"at": "shelf", "cup": "shelf", "book": "shelf"}))

    # Processes

    def start(self, name: str) -> None:
        """Starts one of the processes."""
        space = [("__ns", self.namespace)]
        robot = {f"executive.{each}": str(self.folder / f"{each}.yaml") for each in ("skills", "world")}
        if name == "cart":
            mode = MODES.get(self.fault, "none")
            files = {"world": str(self.folder / "truth.json"), "log": str(self.folder / "cart.jsonl")}
            seed = self.luck.randrange(1 << 30)
            self._processes.start(name, "rarrl_nodes.faults.foreign_cart", {"mode": mode, "seed": seed, **files}, space)
        elif name == "orchestrator":
            rule = RULES.get(self.fault, "after_failure")
            kind = InAProcess if self.fault == "worker_killed_mid_thought" else HalfASecond
            model = {"orchestrator.policy": rule, "orchestrator.reasoner": f"{__name__}:{kind.__name__}"}
            self._processes.start(name, "rarrl_nodes.orchestrator_node", {**robot, **model}, space)
        else:
            journal = {"executive.journal": str(self.folder / JOURNALS / f"{name}.json")}
            if name != "executive":
                space.append(("__node", name))
            self._processes.start(name, "rarrl_nodes.executive_node", {**robot, **journal}, space)

    def kill(self, name: str) -> None:
        """As a crash would."""
        self._processes.kill(name)

    # What is heard

    def _on_alive(self, _: Any) -> None:
        self._alive = time.monotonic()

    def _on_task(self, msg: Any) -> None:
        self._told.append(Told(time.time(), {each.key: each.value for each in msg.status[0].values}))

    def _on_diagnostics(self, msg: Any) -> None:
        self.said += [" ".join((each.message, *(v.value for v in each.values))) for each in msg.status]

    def cart(self) -> list[dict[str, Any]]:
        """All that the cart wrote down."""
        return _lines(self.folder / "cart.jsonl")

    def thoughts(self) -> list[dict[str, Any]]:
        """All that the language model's process wrote down."""
        return _lines(self.folder / THOUGHTS)

    def truth(self) -> dict[str, Any]:
        """What is really so."""
        return json.loads((self.folder / "truth.json").read_text())

    def since(self, at: float) -> list[Told]:
        """What was told on `task` after a time."""
        return [told for told in self._told if told.at >= at]

    def say(self, goal: str) -> float:
        """Gives the task, until somebody carries it out; when."""
        from std_msgs.msg import String

        before = {told.values.get("episode") for told in self._told[-20:]}
        at = time.time()

        def begun() -> bool:
            return any(t.values["status"] == "running" and t.values["episode"] not in before for t in self.since(at))

        for _ in range(int(START_S)):
            self._talk.publish(String(data=goal))
            if self.until(begun, 1.0):
                return at
        raise RuntimeError(f"{self.fault}: nobody takes the task; see {self.folder}")

    def ask_to_cancel(self) -> None:
        """Calls `~/cancel`."""
        from std_srvs.srv import Trigger

        future = self._cancel.call_async(Trigger.Request())
        self.until(future.done, 5.0)

    # One task

    def task(self) -> Task:
        """Gives a task, lets the fault strike, and waits for the end."""
        found = Task()
        self.until(lambda: not self._at_work(), 30.0)  # of the last task, where its goal was given up
        self.until(lambda: time.monotonic() - self._alive < 0.5, START_S)
        lines, thoughts = len(self.cart()), len(self.thoughts())
        applied = self._applied()
        wanted, before = self._other_place(), self.truth()
        flooded = self._flood() if self.fault in FLOODS else None
        at = self.say(sentence(wanted))
        if flooded is not None:
            found.resume_s = time.monotonic() - flooded
        elif self.fault == "cancel_lost":
            self.until(self._at_work, 20.0)
            self.wait(self.luck.uniform(0.0, 1.0))
            self.ask_to_cancel()
            wanted, before = self._other_place(), self.truth()
            at = self.say(sentence(wanted))
        else:
            found.active_s, found.resume_s = self._strike()
        started = time.time()

        def over() -> bool:
            new = self.since(at)
            return bool(new) and new[-1].values["status"] in ("succeeded", "failed", "cancelled")

        ended = self.until(over, TRIAL_S)
        if self.fault == "journal_lost":
            found.complained = self.until(lambda: any(JOURNAL_WORDS in text for text in self.said), 10.0)
            (self.folder / JOURNALS).unlink()
            self.said.clear()
        if ended:
            last = self.since(at)[-1].values
            found.status, found.why = last["status"], last["why"]
            found.skills, found.calls = int(last["skills"]), int(last["calls"])
        found.seconds = time.time() - started
        new = self.cart()[lines:]
        found.two_goals_at_once = sum(line["what"] == "goal" and line["at_once"] > 1 for line in new)
        truth = self.truth()
        found.done = all(truth[thing] == wanted for thing in THINGS)
        there = sum(before[thing] == wanted for thing in THINGS)
        found.stale_applied = self._stale(at, new, there)
        if self.fault == "worker_killed_mid_thought":
            found.killed_mid_thought = self._killed
            found.answers_applied = self._applied() - applied
            found.lost_steps = sum(line["what"] == "goal" for line in new) - sum(
                line["what"] == "end" and line["done"] for line in new
            )
            answered = sum("over" in line for line in self.thoughts()[thoughts:])
            found.stale_applied += max(found.answers_applied - answered, 0)
        return found

    def _applied(self) -> int:
        """Answers of the language model that have taken effect since the executive was started."""
        return int(self._told[-1].values["answers_applied"]) if self._told else 0

    def _other_place(self) -> str:
        """Where the cup is not."""
        return PLACES[self.truth()[THINGS[0]] == PLACES[0]]

    def _at_work(self) -> bool:
        """Whether the cart carries something out now."""
        log = self.cart()
        begun = [line["uuid"] for line in log if line["what"] == "goal"]
        start = max((number for number, line in enumerate(log) if line["what"] == "start"), default=0)
        ended = {line["uuid"] for line in log if line["what"] == "end"}
        return any(uuid not in ended for uuid in begun[-1:]) and any(x["what"] == "goal" for x in log[start:])

    def _strike(self) -> tuple[float | None, float | None]:
        """Seconds from the kill of an executive until the next one is active, and until that has its goal again; None
        where none was killed."""
        when = self.luck.uniform(0.2, 4.0)
        if self.fault == "server_killed":
            self.wait(when)
            self.kill("cart")
            self.wait(self.luck.uniform(0.5, 3.0))
            self.start("cart")
        elif self.fault == "orchestrator_killed":
            self.wait(when)
            self.kill("orchestrator")
            self.wait(2.0)
            self.start("orchestrator")
        elif self.fault == "worker_killed_mid_thought":
            self.wait(when)
            self._kill_thinker()
        elif self.fault == "journal_lost":
            self.wait(when)
            shutil.rmtree(self.folder / JOURNALS)
            (self.folder / JOURNALS).write_text("a file in the way of the folder")
        elif self.fault in ("executive_killed", "thinks_and_executive_killed"):
            self.wait(when)
            return self._restart()
        return None, None

    def _kill_thinker(self) -> None:
        """Kills the language model's process while it thinks and the cart carries something out."""
        self._killed = 0

        def thinks() -> bool:
            last = self.thoughts()[-1:]
            return bool(last) and "over" not in last[0] and self._at_work()

        if self.until(thinks, 20.0):
            os.kill(int(self.thoughts()[-1]["pid"]), signal.SIGKILL)
            self._killed = 1

    def _flood(self) -> float:
        """Sends senseless instructions for FLOOD_S; when that ended."""
        from std_msgs.msg import String

        hz, texts = FLOODS[self.fault]
        begun = time.monotonic()
        for number in range(int(FLOOD_S * hz)):
            self._talk.publish(String(data=texts(number)))
            self.wait(begun + (number + 1) / hz - time.monotonic())
        return time.monotonic()

    def _restart(self) -> tuple[float | None, float | None]:
        killed, lines = time.time(), len(self.cart())
        instance = self._told[-1].values["instance"]
        if self._told[-1].values["status"] != "running":
            return None, None
        self.kill("executive")
        self.start("executive")

        def heard() -> list[Told]:
            return [told for told in self.since(killed) if told.values["instance"] != instance]

        if not self.until(lambda: bool(heard()), START_S):
            return None, None
        active = float(heard()[0].values["since"])

        def resumed() -> float | None:
            adopted = [told.at for told in heard() if told.values["taken_up"] != "0"]
            sent = [
                line["t"] for line in self.cart()[lines:] if line["what"] in ("goal", "thinks") and line["t"] > active
            ]
            ended = [told.at for told in heard() if told.values["status"] not in ("running", "none")]
            return min((*adopted, *sent, *ended), default=None)

        self.until(lambda: resumed() is not None, 30.0)
        end = resumed()
        return active - killed, None if end is None else end - killed

    def _stale(self, at: float, log: list[dict[str, Any]], there: int) -> int:
        """Rows that were told done although nothing was there before and no goal of this task was told done."""
        said = [line for line in log if line["what"] == "end" and line["server"].startswith("put") and line["done"]]
        heard = self.since(at)
        mine = [each for each in heard if each.values["episode"] == heard[-1].values["episode"]]
        told = max((sum("(done)" in value for value in each.values.values()) for each in mine), default=0)
        return max(told - len(said) - there, 0)


def _lines(path: Path) -> list[dict[str, Any]]:
    """What a file of JSON lines holds so far."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@contextmanager
def bench(fault: str) -> Iterator[Bench]:
    """Starts what a fault needs, and ends it."""
    from ..nursery import Nursery
    from ..processes import Processes

    with tempfile.TemporaryDirectory() as place, own_domain():
        folder = Path(place)
        os.environ |= {
            "FOREIGN_CART_WORLD": str(folder / "truth.json"),
            "FOREIGN_CART_THOUGHTS": str(folder / THOUGHTS),
        }
        nursery = Nursery.spawn(os.environ)
        station = Station("person")
        try:
            with Processes(folder, dict(os.environ), nursery=nursery) as processes:
                found = Bench(folder, fault, station, processes)
                for name in ("cart", "executive", "orchestrator", *(["executive_b"] * (fault == "two_executives"))):
                    found.start(name)
                yield found
        finally:
            station.close()
            nursery.close()


def played(fault: str) -> Callable[[int, int], list[Trial]]:
    """Plays a fault, each trial a task."""

    def play(trials: int, seed: int) -> list[Trial]:
        found = []
        for number in range(seed, seed + trials):
            graph = STAGE.keep(("executive", fault), lambda: bench(fault))
            graph.luck.seed(f"{fault} {number}")
            found.append(judged(graph.task()))
        return found

    return play


def judged(task: Task) -> Trial:
    """A task as a trial of the campaign."""
    lost = task.status == "lost"
    counts = {
        "two_goals_at_once": task.two_goals_at_once,
        "stale_applied": task.stale_applied,
        "lost_tasks": int(lost),
        "false_success": int(task.status == "succeeded" and not task.done),
        "succeeded": int(task.status == "succeeded"),
        "lost_steps": task.lost_steps,
        "killed_mid_thought": task.killed_mid_thought,
        "silent": int(not task.complained),
    }
    note = "" if task.status == "succeeded" else f"{task.status}: {task.why}"[:160]
    outputs = max(task.skills, 1)
    unsafe = task.two_goals_at_once + task.stale_applied
    return Trial(None, None, task.resume_s, outputs, unsafe, counts, note, active_s=task.active_s)


NAMES = {
    "none": ("K-task", "none: the control", "nothing"),
    "server_killed": ("N1-server", "an action server is killed", "SIGKILL; back after 0.5 to 3 s"),
    "executive_killed": ("N1-executive", "the executive is killed", "SIGKILL; back at once"),
    "orchestrator_killed": ("N1-orchestrator-task", "the orchestrator is killed", "SIGKILL; back after 2 s"),
    "cancel_lost": ("X1-cancel-lost", "a cancel is never answered", "the server goes on; a new task comes at once"),
    "result_late": ("X2-result-late", "results come 8 s late", "half of them, after the goal was given up"),
    "goal_rejected": ("X3-rejected", "goals are turned down", "three of ten"),
    "two_executives": ("N4-executive", "a second executive of the same robot", "with a journal of its own"),
    "server_lies": ("X4-lies", "the server lies", "three of ten goals told done, nothing done"),
    "server_thinks": ("X5-thinks", "the server thinks before it takes a goal", "3.5 s, three of ten, and knows none"),
    "thinks_and_executive_killed": (
        "X6-thinks-killed",
        "slow to take goals, and the executive killed",
        "1.2 s; SIGKILL",
    ),
    "journal_lost": ("R1-journal", "the journal cannot be written any more", "a file in the place of its folder"),
    "flood": ("S1-task-flood", "instructions flood in", "1000 a second for 2 s; then a good one"),
    "huge": ("S1-task-huge", "instructions of 10 MB", "2 a second for 2 s; then a good one"),
    "controls": ("S1-task-controls", "instructions with control characters", "50 a second for 2 s; then a good one"),
    "worker_killed_mid_thought": ("L5-mid-thought", "the model is killed while it is asked beside a step", "SIGKILL"),
}
"""Fault -> name of its row, what fails, how."""


def rows() -> tuple[Row, ...]:
    """A row for each fault."""
    expected = "each task ends, with a reason where it fails; one goal at a time; nothing told done that was not"
    found = []
    for fault, (name, what, injected) in NAMES.items():
        part = "executive" if fault != "worker_killed_mid_thought" else "reasoner"
        quick = int(fault in ("none", "executive_killed"))
        rest = "the newest instruction counts: the good task is begun and ends" if fault in FLOODS else expected
        trials = 2 if fault in FLOODS else 6
        back = fault in FLOODS
        found.append(Row(name, part, what, injected, rest, "graph", played(fault), trials, quick, recovers=back))
    return tuple(found)
