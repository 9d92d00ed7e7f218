"""A rail arm in a blood laboratory, as another team might have it: ROS 2 servers that know nothing of rarrl.

It rides between numbered stops (0 dock, 1 fridge, 2 rack, 3 centrifuge, 4 analyser), takes a tube and puts it
down, opens and shuts the lid of the centrifuge, spins it, and reads the labels of the tubes at a stop.

Run: python examples/robots/laboratory/laboratory.py
"""

import time
from contextlib import suppress

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.srv import SelfTest
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger
from test_msgs.action import Fibonacci

STOPS = 5
CENTRIFUGE = 3


class Lab(Node):
    """How everything is. tubes: stop -> labels of the tubes there."""

    def __init__(self, pace: float = 1.0) -> None:
        super().__init__("lab")
        self.stop = 0
        self.lid_open = False
        self.hand = ""
        self.takes = 0
        self.tubes: dict[int, list[str]] = {0: [], 1: ["serum", "serum"], 2: ["plasma"], 3: [], 4: []}
        self._pace = float(self.declare_parameter("pace", pace).value)  # seconds from stop to stop

        group = ReentrantCallbackGroup()
        self._servers = [
            ActionServer(
                self, Fibonacci, name, run, callback_group=group, cancel_callback=lambda _: CancelResponse.ACCEPT
            )
            for name, run in (("rail/move", self.move), ("centrifuge/spin", self.spin))
        ]
        self.create_service(Trigger, "gripper/take", self.take, callback_group=group)
        self.create_service(Trigger, "gripper/put", self.put, callback_group=group)
        self.create_service(SetBool, "centrifuge/lid", self.lid, callback_group=group)
        self.create_service(SelfTest, "camera/labels", self.labels, callback_group=group)

    def move(self, goal) -> Fibonacci.Result:
        """Rides to the stop goal.order; the stops that were passed are the feedback."""
        target = goal.request.order
        if not 0 <= target < STOPS:
            goal.abort()
            return Fibonacci.Result()

        while self.stop != target:
            time.sleep(self._pace)
            if goal.is_cancel_requested:
                goal.canceled()
                return Fibonacci.Result(sequence=[self.stop])
            self.stop += 1 if target > self.stop else -1
            goal.publish_feedback(Fibonacci.Feedback(sequence=[self.stop]))
        goal.succeed()
        return Fibonacci.Result(sequence=[self.stop])

    def spin(self, goal) -> Fibonacci.Result:
        """Spins for goal.order seconds of the pace; with the lid open it does not."""
        if self.lid_open:
            goal.abort()
            return Fibonacci.Result()

        for _ in range(goal.request.order):
            time.sleep(self._pace)
            if goal.is_cancel_requested:
                goal.canceled()
                return Fibonacci.Result()
        self.tubes[CENTRIFUGE] = ["spun " + tube for tube in self.tubes[CENTRIFUGE]]
        goal.succeed()
        return Fibonacci.Result(sequence=[goal.request.order])

    def take(self, request, answer):
        """Takes the first tube at this stop; every third time it slips."""
        here = self.tubes[self.stop]
        self.takes += 1
        if self.hand:
            answer.message = "hand is full"
        elif not here:
            answer.message = "no tube here"
        elif self.stop == CENTRIFUGE and not self.lid_open:
            answer.message = "lid is shut"
        elif self.takes % 3 == 2:
            answer.message = "the tube slipped"
        else:
            self.hand = here.pop(0)
            answer.success = True
        return answer

    def put(self, request, answer):
        """Puts the tube down at this stop."""
        if not self.hand:
            answer.message = "hand is empty"
        elif self.stop == CENTRIFUGE and not self.lid_open:
            answer.message = "lid is shut"
        else:
            self.tubes[self.stop].append(self.hand)
            self.hand = ""
            answer.success = True
        return answer

    def lid(self, request, answer):
        """Opens (data: true) or shuts the lid of the centrifuge."""
        self.lid_open = request.data
        answer.success = True
        return answer

    def labels(self, request, answer):
        """Reads the labels of the tubes at this stop, one status each."""
        answer.passed = b"\x01"
        answer.status = [DiagnosticStatus(name=tube) for tube in self.tubes[self.stop]]
        return answer


def main() -> None:
    """Serves until it is interrupted."""
    rclpy.init()
    executor = MultiThreadedExecutor(4)
    executor.add_node(Lab())
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        executor.spin()


if __name__ == "__main__":
    main()
