"""The command line of a node: its help, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import rclpy.utilities

from rarrl.errors import InputError
from rarrl.strict_json import short

from .params import check_file

USAGE = """usage: {name} [--ros-args [-p NAME:=VALUE] [--params-file FILE] [-r OLD:=NEW] ...]

{about}

Everything is set by ROS parameters: docs/reference/parameters.md, or `ros2 param list /{name}` while it runs."""


def wants_help(arguments: Sequence[str], about: str) -> bool:
    """Whether the command line (`sys.argv`) asks for help, which is printed. about: a sentence on the node.

    Raises: InputError for an argument that neither ROS nor the node takes, and a parameter file that cannot be used."""
    for option, value in pairwise(arguments):
        if option == "--params-file":
            check_file(Path(value))
    try:
        own = rclpy.utilities.remove_ros_args(list(arguments))[1:]
    except RuntimeError as error:  # a -p option or a parameter file that ROS cannot read
        raise InputError(ros_words(error)) from None

    name = Path(arguments[0]).stem
    if "--help" in own or "-h" in own:
        print(USAGE.format(name=name, about=about))
        return True
    if own:
        raise InputError(f"{name}: {short(own[0])} is no argument of this node; parameters stand behind --ros-args")
    return False


def ros_words(error: RuntimeError) -> str:
    """What ROS says of its arguments; of those that it does not know, it only says a list."""
    text = " ".join(str(error).split())
    return f"ROS does not know {text}" if text.startswith("[") else text
