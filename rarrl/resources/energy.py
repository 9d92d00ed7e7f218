"""The energy that the processor has used, from Linux's powercap interface (RAPL).

See https://www.kernel.org/doc/html/latest/power/powercap/powercap.html. Virtual machines and most ARM boards have none,
and many systems let only root read it. Then there is no figure, because nothing is estimated.
"""

from __future__ import annotations

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
"""Where Linux keeps the energy counters."""


class EnergyProbe:
    """Counts the joules used since it was made; whole processor packages are added up. folder: the powercap zones."""

    def __init__(self, folder: Path = POWERCAP) -> None:
        self._zones = [zone for zone in sorted(folder.glob("*rapl:[0-9]*")) if zone.name.count(":") == 1]
        self._wraps = {zone: _number(zone / "max_energy_range_uj") for zone in self._zones}
        self._last = {zone: _number(zone / "energy_uj") for zone in self._zones}
        self._sum_uj = 0.0

    @property
    def available(self) -> bool:
        """Whether every package can be read."""
        return bool(self._zones) and None not in self._last.values()

    def joules(self) -> float | None:
        """Returns the joules used since the probe was made, or None if the computer does not say.

        The counters wrap around, so it must be called every minute or so."""
        if not self.available:
            return None

        for zone in self._zones:
            now = _number(zone / "energy_uj")
            before = self._last[zone]
            if now is None or before is None:
                return None

            self._sum_uj += now - before + ((self._wraps[zone] or 0.0) if now < before else 0.0)
            self._last[zone] = now

        return self._sum_uj / 1e6


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
