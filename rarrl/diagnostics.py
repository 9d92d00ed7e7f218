"""What a node says of itself: rates and latencies, what it waits for, and which of it goes to the console too.

Times are seconds of the steady clock."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

WINDOW = 1000
"""Events that are kept: at 20 Hz the last 50 s, enough for a 99 % quantile."""


class Latencies:
    """When the last events happened and how long each took."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=WINDOW)
        self._times: deque[float] = deque(maxlen=WINDOW)

    def add(self, now: float, seconds: float) -> None:
        """Records an event at `now` (steady clock) that took `seconds`."""
        self._times.append(now)
        self._seconds.append(seconds)

    def rate(self, now: float, over_s: float = 5.0) -> float:
        """Returns the events per second within the last `over_s` seconds."""
        return sum(now - t <= over_s for t in self._times) / over_s

    def quantile_ms(self, q: float) -> float:
        """Returns the `q` quantile of the last WINDOW durations in milliseconds, 0 if there are none.

        >>> latencies = Latencies()
        >>> for seconds in (0.004, 0.001, 0.002):
        ...     latencies.add(0.0, seconds)
        >>> latencies.quantile_ms(0.5), latencies.quantile_ms(0.99)
        (2.0, 4.0)
        """
        ordered = sorted(self._seconds)
        return 1e3 * ordered[min(int(q * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Heartbeat:
    """Watches whether a node has been heard lately. who: its name, which begins the complaint."""

    def __init__(self, who: str) -> None:
        self.who = who
        self._heard: float | None = None

    def hear(self, now: float) -> None:
        """Records a message from `who` at `now` (steady clock)."""
        self._heard = now

    def silent_s(self, now: float) -> float | None:
        """Returns the seconds since the last message, None if there was none."""
        return None if self._heard is None else now - self._heard

    def complaint(self, now: float, timeout_s: float) -> str:
        """Returns one line about a silence longer than `timeout_s` seconds, "" if all is well.

        >>> watch = Heartbeat("the executive")
        >>> watch.complaint(10.0, 5.0)
        'the executive not heard yet'
        >>> watch.hear(10.0)
        >>> watch.complaint(12.0, 5.0), watch.complaint(17.0, 5.0)
        ('', 'the executive silent for 7 s')
        """
        silent = self.silent_s(now)
        if silent is None:
            return f"{self.who} not heard yet"
        return f"{self.who} silent for {silent:.0f} s" if silent > timeout_s else ""


class Announcer:
    """Picks what goes to the console of a state that is told every second: changes, not repetitions.

    Args:
        settle_s: seconds that a state has to last; one that passes at once is not worth a line
        repeat_s: seconds after which one that is not ok is told again"""

    FLAPPING_S = 10.0
    """Seconds after which states that are not ok and keep changing are told too."""

    def __init__(self, settle_s: float = 2.0, repeat_s: float = 60.0) -> None:
        self._settle_s = settle_s
        self._repeat_s = repeat_s
        self._key = ""
        self._since = 0.0
        self._told = ""  # the key of the last line; "" where all is well
        self._told_s = 0.0
        self._bad_s: float | None = None  # since when it is not ok

    def judge(self, now: float, ok: bool, text: str) -> str:
        """The line to print of `text`, "" for none. Texts that differ in their numbers alone are one state.

        >>> announcer = Announcer()
        >>> [announcer.judge(float(s), False, f"no scan for {s} s") for s in range(4)]
        ['', '', 'no scan for 2 s', '']
        >>> announcer.judge(5.0, True, "driving"), announcer.judge(8.0, True, "driving")
        ('', 'driving')
        """
        key = re.sub(r"\d+([.,]\d+)?", "#", text)
        if key != self._key:
            self._key = key
            self._since = now
        settled = now - self._since >= self._settle_s

        if ok:
            self._bad_s = None
            if not (settled and self._told):
                return ""
            self._told = ""
            return text

        if self._bad_s is None:
            self._bad_s = now
        flapping = now - max(self._bad_s, self._told_s) >= self.FLAPPING_S and not settled
        again = key == self._told and now - self._told_s >= self._repeat_s
        if not again and (key == self._told or not (settled or flapping)):
            return ""
        self._told = key
        self._told_s = now
        return f"still: {text}" if again else text


def why_silent(topic: str, kind: str, kinds: Sequence[str], qos: str = "", compressed: bool = False) -> str:
    """Why nothing was heard on a topic, as far as the graph tells, in one line.

    kind: the type that is needed, such as sensor_msgs/msg/Image; kinds: those that are published. qos: why a
    publisher's quality of service does not fit. compressed: whether `topic`/compressed is published.

    >>> why_silent("/left/image_rect", "sensor_msgs/msg/Image", [])
    'nothing publishes /left/image_rect'
    """
    republish = "ros2 run image_transport republish compressed raw --ros-args -r in/compressed:={} -r out:={}"
    if kinds and kind not in kinds:
        other = sorted(set(kinds))[0]
        hint = ": " + republish.format(topic, "RAW, and name RAW here") if other.endswith("CompressedImage") else ""
        return f"{topic} carries {other}, needed {kind}{hint}"
    if not kinds and compressed:
        return f"only {topic}/compressed is published: " + republish.format(f"{topic}/compressed", topic)
    if not kinds:
        return f"nothing publishes {topic}"
    if qos:
        return f"{topic} is published, but its quality of service does not fit: {qos}"
    return f"{topic} is published, but nothing has come"
