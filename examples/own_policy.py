"""An action policy of your own, held to the contract and loaded by its import path.

Needs: rarrl alone. Run: python examples/own_policy.py
You see: the contract is kept, and a chunk of actions. A robot runs the same class in a process of its own when the
ROS parameter `policy.folder` of vla_policy_node says `own_policy:MyPolicy` and this folder is on PYTHONPATH.
"""

from collections.abc import Callable

import numpy as np

from rarrl import ActionChunk, Observation, make_policy
from rarrl.policy.base import InterfaceSpec, check_policy


class MyPolicy:
    """Steers towards the brighter half of the picture. Yours would compute a network here."""

    spec = InterfaceSpec(
        cameras=("front",),
        image_size=64,  # pixels, both sides
        proprio_names=("speed_m_s",),
        proprio_mean=(0.2,),
        proprio_scale=(0.2,),
        action_names=("linear_x_m_s", "angular_z_rad_s"),  # these names drive a base
        action_low=(0.0, -1.0),
        action_high=(0.5, 1.0),
        horizon=8,  # rows of a chunk
        control_hz=10.0,
    )

    def infer(self, observation: Observation, stop: Callable[[], bool] | None = None) -> ActionChunk:
        """Eight times the same command. A slow policy asks `stop` now and then, and ends when it says True."""
        gray = observation.images[0].mean(axis=2) / 255.0
        half = gray.shape[1] // 2
        turn = np.clip(gray[:, :half].mean() - gray[:, half:].mean(), -1.0, 1.0)  # left is positive
        rows = np.tile([0.2, turn], (self.spec.horizon, 1)).astype(np.float32)
        return ActionChunk(rows, 1 / self.spec.control_hz, observation.observed_at)

    def reset(self) -> None:
        """There is nothing to forget."""


def main() -> None:
    check_policy(MyPolicy())
    print("the contract is kept: shapes, types, limits, time stamps, answers that repeat")

    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[0, :, :32] = 200  # bright on the left
    with make_policy("own_policy:MyPolicy") as policy:
        chunk = policy.infer(Observation(picture, np.array([0.2], np.float32), "go to the light"))
    print(f"{len(chunk.actions)} rows of {chunk.dt:.2f} s; the first: v {chunk.actions[0, 0]:.2f} m/s, ", end="")
    print(f"omega {chunk.actions[0, 1]:.2f} rad/s (left)")


if __name__ == "__main__":
    main()
