"""supervisor_node: loads what nodes need, forks the process that starts them, and is their supervisor."""

from __future__ import annotations

import sys

from .nursery import Nursery


def main() -> int:
    """Entry point of the executable `supervisor_node`."""
    nursery = Nursery.fork(outlive=True)  # before DDS begins, which starts threads

    from .supervisor import run

    return run(nursery)


if __name__ == "__main__":
    sys.exit(main())
