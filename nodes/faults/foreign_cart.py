"""A robot that is not ours, without a line of rarrl: a cart with one hand, three action servers, and faults on demand.

    python -m rarrl_nodes.faults.foreign_cart --ros-args -p world:=world.json -p log:=log.jsonl -p mode:=deaf -p seed:=3

What is really so stands in the file `world`, which outlives the process. The server itself counts how many goals are at
work at one time, and writes down what it did. `look` is the cart's eye: a Python call that reads the same truth.

mode: what is wrong with it.
    none      nothing
    deaf      never answers a cancel, and goes on to the end, which is far away
    late      says that it is done long after it is
    rejects   turns three of ten goals down
    lies      says of three of ten that they are done, at once, and does nothing
    thinks    thinks for long before it takes three of ten goals, and tells cancels meanwhile that it knows none
    thinks_on thinks for a while about every goal
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

DEAF_S, LATE_S, THINK_S = 4.0, 8.0, 3.5
"""Seconds that each fault takes; all are longer than the deadlines in the skills file."""
THINK_ON_S = 1.2
"""Seconds of thought about every goal: within the deadline, so that the task can be done."""
PLACES = {1: "shelf", 2: "desk"}
THINGS = ("cup", "book")
SERVERS = ("go", *(f"{verb}_{thing}" for verb in ("take", "put") for thing in THINGS))


def look(at: str) -> dict[str, Any]:
    """What the eye sees at a place: skill `look` of the cart's skills file."""
    world = json.loads(Path(os.environ["FOREIGN_CART_WORLD"]).read_text())
    return {"success": True, "seen": [{"thing": thing} for thing in THINGS if world[thing] == at]}


def main() -> None:
    import rclpy
    from rclpy.action import ActionServer, CancelResponse, GoalResponse
    from rclpy.callback_groups import ReentrantCallbackGroup
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.task import Future
    from test_msgs.action import Fibonacci

    class Cart(Node):
        def __init__(self) -> None:
            super().__init__("foreign_cart")
            self.world = Path(self.declare_parameter("world", "").value)
            self.log = Path(self.declare_parameter("log", "").value)
            self.mode = self.declare_parameter("mode", "none").value
            self.luck = random.Random(self.declare_parameter("seed", 0).value)
            self.at_work: dict[str, str] = {}  # uuid -> server
            self.servers = [self.serve(name) for name in SERVERS]
            self.tell("start")

        def serve(self, name: str) -> Any:
            async def execute(handle: Any) -> Any:
                return await self.execute(name, handle)

            return ActionServer(
                self,
                Fibonacci,
                name,
                execute,
                goal_callback=self.on_goal,
                cancel_callback=self.on_cancel,
                callback_group=ReentrantCallbackGroup(),
            )

        def tell(self, what: str, **values: object) -> None:
            with self.log.open("a") as stream:
                stream.write(json.dumps({"t": time.time(), "what": what, **values}) + "\n")

        async def sleep(self, seconds: float) -> None:
            over = Future()
            timer = self.create_timer(seconds, lambda: over.done() or over.set_result(None))
            await over
            self.destroy_timer(timer)

        async def on_goal(self, _: Any) -> Any:
            if self.mode == "thinks_on" or (self.mode == "thinks" and self.luck.random() < 0.3):
                self.tell("thinks")
                await self.sleep(THINK_ON_S if self.mode == "thinks_on" else THINK_S)
            if self.mode == "rejects" and self.luck.random() < 0.3:
                self.tell("rejected")
                return GoalResponse.REJECT
            return GoalResponse.ACCEPT

        async def on_cancel(self, _: Any) -> Any:
            if self.mode == "deaf":
                await Future()  # never
            return CancelResponse.ACCEPT

        async def execute(self, name: str, handle: Any) -> Any:
            uuid, place = bytes(handle.goal_id.uuid).hex(), PLACES.get(handle.request.order, "")
            self.at_work[uuid] = name
            self.tell("goal", server=name, place=place, uuid=uuid, at_once=len(self.at_work))
            lies = self.mode == "lies" and self.luck.random() < 0.3
            end = time.monotonic() + (0.0 if lies else self.luck.uniform(0.2, 0.6))
            end += DEAF_S if self.mode == "deaf" else 0.0
            cancelled = False
            while time.monotonic() < end and not cancelled:
                await self.sleep(0.05)
                cancelled = handle.is_cancel_requested
            done = not cancelled and (lies or self.carry_out(name, place))
            if self.mode == "late" and not cancelled and self.luck.random() < 0.5:
                await self.sleep(LATE_S)
            del self.at_work[uuid]
            self.tell("end", server=name, place=place, uuid=uuid, done=done, lie=lies)
            if done:
                handle.succeed()
            elif handle.is_cancel_requested:
                handle.canceled()
            else:
                handle.abort()
            return Fibonacci.Result()

        def carry_out(self, name: str, place: str) -> bool:
            """Whether it could be done."""
            world = json.loads(self.world.read_text())
            verb, _, thing = name.partition("_")
            if verb == "go":
                world["at"] = place
            elif verb == "take":
                if world[thing] != world["at"] or "hand" in (world[each] for each in THINGS):
                    return False
                world[thing] = "hand"
            else:
                if (world[thing], world["at"]) != ("hand", place):
                    return False
                world[thing] = place
            new = self.world.with_suffix(".new")
            new.write_text(json.dumps(world))
            new.rename(self.world)
            return True

    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(Cart())
    try:
        executor.spin()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
