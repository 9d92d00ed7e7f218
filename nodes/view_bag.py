"""A bag as the view shows it: its messages at the times at which they were received. Needs no ROS."""

from __future__ import annotations

from rarrl.bag.reader import Bag, Message
from rarrl.errors import InputError
from rarrl.view.recorded import At, Player
from rarrl.view.state import Snapshot

from .bag_replay import settings_of
from .view_messages import TOPICS, GraphPicture, robot_of

NODES = {"safety_gate_node": "gate.", "orchestrator_node": "orchestrator.", "stereo_voxel_node": "detector."}
"""Whose recorded settings say what is shown -> how those begin."""


def bag_player(bag: Bag, speed: float = 1.0) -> Player:
    """Plays `bag` to the view.

    Raises: InputError where it holds nothing that is shown, or settings that are not allowed."""
    topics = _topics(bag)
    if not topics:
        raise InputError(f"view: {bag.path} holds none of the topics that are shown: {', '.join(TOPICS)}")
    recorded = {node: settings_of(bag, node, prefix, {}) for node, prefix in NODES.items()}

    def open_() -> At:
        picture = GraphPicture("")
        picture.know(robot_of(recorded))
        messages = bag.messages(set(topics))
        ahead: list[Message] = []

        def at(t_s: float) -> Snapshot:
            while True:
                message = ahead.pop() if ahead else next(messages, None)
                if message is None:
                    break
                if message.log_s - bag.start_s > t_s:
                    ahead.append(message)
                    break
                picture.take(topics[message.topic], message.value, message.log_s - bag.start_s)
            picture.pass_time(t_s)
            return picture.look()

        return at

    return Player(open_, bag.end_s - bag.start_s, f"the bag {bag.path.name}", speed)


def _topics(bag: Bag) -> dict[str, str]:
    """The bag's topics -> those of TOPICS, in whatever namespace they were recorded; the shortest name of each."""
    found: dict[str, str] = {}
    for name, kind in TOPICS.items():
        end = name if name.startswith("/") else f"/{name}"
        names = sorted((t for t, of in bag.topics.items() if of == kind and t.endswith(end)), key=len)
        if names:
            found[names[0]] = name
    return found
