"""A recorded profile of three tasks, made by hand, and a reasoner at the edge of tests that knows their plans."""

from rarrl.alfred import HOUSEHOLD_TASKS, read_alfred
from rarrl.alfred_plans import expert_plan
from rarrl.latency.profile import CallRecord, LatencyProfile, ProfileHeader, TaskRecord
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Plan, Verdict
from rarrl.types import CallStatus, Role

TASKS = read_alfred(HOUSEHOLD_TASKS).plans[:3]
WRONG = Plan.from_rows([["PickupObject", "pillow"], ["PutObject", "pillow", "bed"]])


def profile(name="household", world=None):
    """The robot's own plan is always wrong; level 1 is right for the first task alone, level 2 always."""
    header = ProfileHeader(
        name=name,
        kind="recorded",
        measured="by hand",
        model="none",
        hardware="none",
        date="2026",
        source="test",
        licence="none",
        world=world,
    )
    plans = [WRONG, *(expert_plan(task) for task in TASKS)]
    tasks, records = [], []
    for number, task in enumerate(TASKS):
        expert = number + 1
        steps = tuple((int(kind), n) for kind, n in zip(task.subgoals, task.low_steps, strict=True))
        tasks.append(
            TaskRecord(
                trial=task.trial,
                annotation=0,
                task_type=task.task_type,
                steps=steps,
                expert=expert,
                default=0,
                similarity=0.4,
                default_correct=False,
                words=7,
                unknown=1,
            )
        )
        written = {1: expert if number == 0 else 0, 2: expert}
        for level, plan in written.items():
            records.append(call("planner", level, number, plan, plan == expert, confidence=-0.1 * level))
        for judged in sorted({0, expert}):
            for level in (1, 2):
                records.append(call("verifier", level, number, judged, True, verdict=judged == expert, p_ok=0.9))
    return LatencyProfile(
        schema_version=2, header=header, tasks=tuple(tasks), plans=tuple(tuple(map(tuple, p.to_rows())) for p in plans),
        records=tuple(records),
    )  # fmt: skip


def call(role, level, task, plan, correct, **more):
    return CallRecord(
        role=role,
        level=level,
        tokens_in=20,
        tokens_out=10 * level,
        ttft_s=0.1,
        total_s=0.5 * level,
        finish="stop",
        correct=correct,
        task=task,
        plan=plan,
        **more,
    )


class Expert:
    """A reasoner at the edge of the test that knows every plan."""

    name = "expert"

    def ask(self, request):
        plans = {task.annotations[0].goal: expert_plan(task) for task in TASKS}
        plan, judged = plans[request.goal], request.plan
        verdict = Verdict(judged == plan) if request.role is Role.VERIFIER else None
        return Answer(
            request.decision,
            request.role,
            request.level,
            CallStatus.OK,
            0.2,
            self.name,
            20,
            20,
            plan=plan if verdict is None else None,
            verdict=verdict,
        )

    def close(self):
        pass


class Slow:
    """A reasoner that answers every goal with the same plan, 3 s by its own account."""

    name = "openai:http://10.0.0.5:8080/v1#slow"

    def ask(self, request):
        common = (request.decision, request.role, request.level)
        if request.role is Role.VERIFIER:
            return Answer(*common, CallStatus.OK, 3.0, self.name, 20, 20, verdict=Verdict(True))
        status = CallStatus.OK if request.level == 1 else CallStatus.INVALID
        return Answer(*common, status, 3.0, self.name, 20, 20, plan=WRONG if request.level == 1 else None, why="")

    def close(self):
        pass
