"""Asks running nodes for those of their settings that say what they decide, each once: for recordings and the view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.task import Future

from rarrl.config import FieldSpec, Scalar

from .params import GATE_SPECS, ORCHESTRATOR_SPECS, STEREO_SPECS

SPECS: dict[str, Sequence[FieldSpec]] = {
    "safety_gate_node": GATE_SPECS,
    "orchestrator_node": ORCHESTRATOR_SPECS,
    "stereo_voxel_node": STEREO_SPECS,
}
"""Node -> its parameters, of which a replay needs some."""


def needed(parameter: str) -> bool:
    """Whether a replay needs a parameter. Of the language model's hardly any: keys may stand there."""
    return parameter == "language_model.call_timeout_s" or not parameter.startswith(("language_model.", "autostart"))


class AskedSettings:
    """What the nodes of `SPECS` answer.

    Args:
        node: what it asks with.
        keep: gets a node's name and its settings by parameter, as they come."""

    def __init__(self, node: Node, keep: Callable[[str, Mapping[str, Scalar]], None]) -> None:
        self._node, self._keep = node, keep
        self._asked: dict[str, Client] = {}

    def ask(self, name: str, namespace: str = "") -> None:
        """Asks the node of this name unless that was done; to be called again where it does not answer yet.

        namespace: its own, with a stroke at the end; "": that of the node that asks."""
        if name not in SPECS or name in self._asked:
            return
        client = self._node.create_client(GetParameters, f"{namespace}{name}/get_parameters")
        if not client.service_is_ready():
            self._node.destroy_client(client)
            return

        self._asked[name] = client
        wanted = [spec.name for spec in SPECS[name] if needed(spec.name)]

        def take(future: Future) -> None:
            if future.exception() is None and future.result() is not None:
                values = map(parameter_value_to_python, future.result().values)
                self._keep(name, {key: value for key, value in zip(wanted, values, strict=False) if value is not None})

        client.call_async(GetParameters.Request(names=wanted)).add_done_callback(take)
