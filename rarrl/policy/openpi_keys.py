"""The observation keys of openpi's LIBERO client, so that its evaluation runs against a policy that has other ones.

`examples/libero/main.py` of https://github.com/Physical-Intelligence/openpi (15a9616) sends two square pictures, eight
numbers and a prompt. It turns robosuite's pictures, which are upside down, by 180 degrees; so what arrives is the scene
mirrored left to right, as in the data that openpi's weights were trained on. Policies that were trained on upright
pictures get them mirrored back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rarrl.errors import InputError
from rarrl.policy.base import Interface

PICTURES = ("observation/image", "observation/wrist_image")
"""Keys of the camera in front of the robot, and of the one on its hand."""
STATE, PROMPT = "observation/state", "prompt"
STATE_NAMES = ("x_m", "y_m", "z_m", "turn_x_rad", "turn_y_rad", "turn_z_rad", "finger_left_m", "finger_right_m")
"""Place of the grip site, rotation vector of the hand, places of the two fingers."""
ACTIONS = 7
LARGEST = 1024
"""Pixels of a side of a picture."""
UPRIGHT, TURNED = "upright", "turned"
"""How a policy wants its pictures: as they are, or as openpi's client sends them."""
LIBERO_CAMERAS = ("agentview", "robot0_eye_in_hand")
"""robosuite's names, which policies trained on the suites here use; their pictures are upright."""


class OpenpiKeys:
    """openpi's LIBERO keys for a policy with two cameras, its state and its actions.

    Args:
        spec: the policy's
        pictures: UPRIGHT or TURNED, what the policy was trained on

    Raises: InputError where the policy is not of such a robot."""

    def __init__(self, spec: Interface, pictures: str = UPRIGHT) -> None:
        sizes = (len(spec.cameras), len(spec.proprio_names), len(spec.action_names))
        if sizes != (2, len(STATE_NAMES), ACTIONS):
            raise InputError(
                f"openpi's LIBERO keys: need a policy with 2 cameras, {len(STATE_NAMES)} numbers of state and "
                f"{ACTIONS} of action; this one has {', '.join(map(str, sizes))}: leave --openpi-pictures away"
            )
        if pictures not in (UPRIGHT, TURNED):
            raise InputError(f"--openpi-pictures: must be {UPRIGHT} or {TURNED}, got {pictures!r}")
        self._spec, self._mirror = spec, pictures == UPRIGHT

    def metadata(self) -> dict[str, Any]:
        """What the greeting says of these keys."""
        size = [f"{self._spec.image_size} to {LARGEST}, square"]
        pictures = {key: {"dtype": "uint8", "shape": [*size, 3]} for key in PICTURES}
        return {
            **pictures,
            STATE: {"dtype": "float32", "shape": [len(STATE_NAMES)], "names": list(STATE_NAMES)},
            PROMPT: {"dtype": "str"},
            "pictures": "robosuite's, turned by 180 degrees, as openpi's LIBERO client sends them",
        }

    def fits(self, message: Mapping[Any, Any]) -> bool:
        """Whether a client speaks these keys."""
        return message.keys() == {*PICTURES, STATE, PROMPT}

    def pictures(self, message: Mapping[Any, Any]) -> list[np.ndarray]:
        """The cameras' pictures, (size, size, 3) uint8 as the policy takes them.

        Raises: InputError."""
        return [self._picture(key, message[key]) for key in PICTURES]

    def _picture(self, key: str, picture: object) -> np.ndarray:
        import cv2

        size = self._spec.image_size
        if (
            not isinstance(picture, np.ndarray)
            or picture.dtype != np.uint8
            or picture.ndim != 3
            or picture.shape[2] != 3
            or picture.shape[0] != picture.shape[1]
            or not size <= picture.shape[0] <= LARGEST
        ):
            got = f"{picture.shape} {picture.dtype}" if isinstance(picture, np.ndarray) else type(picture).__name__
            raise InputError(f"{key}: must be a square uint8 RGB picture of {size} to {LARGEST} pixels, got {got}")
        if self._mirror:
            picture = picture[:, ::-1]
        if len(picture) == size:
            return np.ascontiguousarray(picture)
        return np.asarray(cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=cv2.INTER_AREA))


def openpi_keys(spec: Interface, pictures: str = "") -> OpenpiKeys | None:
    """These keys where the policy is LIBERO's, or where `pictures` says how it wants its pictures; else None.

    Raises: InputError, see `OpenpiKeys`."""
    if pictures:
        return OpenpiKeys(spec, pictures)
    return OpenpiKeys(spec) if tuple(spec.cameras) == LIBERO_CAMERAS else None
