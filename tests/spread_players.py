"""Parts of work for tests of `rarrl_learning.spread`, which other processes can import."""

import os
import time
from pathlib import Path

from rarrl.errors import InputError


def squared(number):
    return number * number


def where(number):
    """Lasts a little, so that all workers get some; who did it."""
    time.sleep(0.05)
    return number, os.getpid()


def refuses(number):
    raise InputError(f"{number} is odd")


def waits_once(folder, number):
    """The first time: says by a file who works at it, and waits to be killed. Afterwards: is done at once."""
    mark = Path(folder) / f"{number}.pid"
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        time.sleep(600)
    return number * number


def dies(number):
    os._exit(1)
