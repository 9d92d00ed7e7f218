"""Action servers of `test_msgs/action/Fibonacci` that do what a test wants, in its process or as one of their own.

Run as a process, a goal counts for as many tenths of a second as its `order`, and can be cancelled."""

import sys

import rclpy
from action_msgs.msg import GoalStatus
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from test_msgs.action import Fibonacci

STEP_S = 0.1


class Puppet:
    """A server whose goals a test ends by hand.

    Attributes:
        goals: handles of accepted goals. asked: orders of all goals that came.
        most: the largest number of goals that were at work at one time.
        gate: where set, answers to goals wait for it. cancel_gate: answers to cancels do.
    """

    def __init__(self, node, name, accept=True, cancel=True):
        self.accept, self.cancel = accept, cancel
        self.gate = self.cancel_gate = None
        self.goals, self.asked, self.cancels, self.most = [], [], 0, 0
        self.ended = set()
        self.server = ActionServer(
            node,
            Fibonacci,
            name,
            execute_callback=lambda goal: Fibonacci.Result(),
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
            callback_group=ReentrantCallbackGroup(),
        )

    async def _on_goal(self, goal):
        self.asked.append(goal.order)
        if self.gate is not None:
            await self.gate
        return GoalResponse.ACCEPT if self.accept else GoalResponse.REJECT

    async def _on_cancel(self, _):
        self.cancels += 1
        if self.cancel_gate is not None:
            await self.cancel_gate
        return CancelResponse.ACCEPT if self.cancel else CancelResponse.REJECT

    def _on_accepted(self, handle):
        self.goals.append(handle)
        self.most = max(self.most, sum(goal.is_active for goal in self.goals))

    @property
    def running(self):
        """Numbers of the goals that are at work and were not told to end."""
        return [at for at, goal in enumerate(self.goals) if goal.is_active and at not in self.ended]

    def finish(self, at=-1, how="succeed", sequence=()):
        """Ends a goal: succeed, abort or canceled (which succeeds unless a cancel came)."""
        self.ended.add(at % len(self.goals))

        def execute(handle: ServerGoalHandle):
            getattr(handle, "succeed" if how == "canceled" and not handle.is_cancel_requested else how)()
            return Fibonacci.Result(sequence=list(sequence))

        self.goals[at].execute(execute)

    def feedback(self, sequence, at=-1):
        self.goals[at].publish_feedback(Fibonacci.Feedback(sequence=list(sequence)))

    def destroy(self):
        self.server.destroy()


class Counter(Node):
    """The server of the process: one goal at a time; a second one is aborted and said on stdout."""

    def __init__(self, name, deaf):
        super().__init__("fibonacci_server")
        self.running = 0
        self.deaf = deaf
        self.server = ActionServer(
            self, Fibonacci, name, self._execute, cancel_callback=lambda _: CancelResponse.ACCEPT
        )

    async def _execute(self, handle):
        self.running += 1
        print(f"goal {bytes(handle.goal_id.uuid).hex()} {handle.request.order}", flush=True)
        if self.running > 1:
            print("TWO GOALS", flush=True)
        for number in range(handle.request.order):
            tick = Future()
            timer = self.create_timer(STEP_S, lambda tick=tick: tick.done() or tick.set_result(None))
            await tick
            self.destroy_timer(timer)
            if handle.status == GoalStatus.STATUS_CANCELING and not self.deaf:
                break
            handle.publish_feedback(Fibonacci.Feedback(sequence=[number]))
        self.running -= 1
        if handle.status == GoalStatus.STATUS_CANCELING and not self.deaf:
            handle.canceled()
        else:
            handle.succeed()
        print(f"end {bytes(handle.goal_id.uuid).hex()}", flush=True)
        return Fibonacci.Result(sequence=[handle.request.order])


if __name__ == "__main__":
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(Counter(sys.argv[1], deaf="deaf" in sys.argv[2:]))
    executor.spin()
