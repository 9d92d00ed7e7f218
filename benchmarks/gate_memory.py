"""What `gate.memory_s` costs: missions of the household twin, driven by the expert behind the gate among two people.

    python benchmarks/gate_memory.py [--missions 100] [--seconds 3 6 3600] [--json benchmarks/results/gate_memory.json]

The same recorded missions for each value; 3600 is a gate that forgets by metres alone. The expert backs off where
somebody stands in its way, and where it got stuck: that is what the setting takes from it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from rarrl.results import Figure, make_results, write_results
from rarrl_learning.household import twin_missions
from rarrl_learning.household.demo import table_settings
from rarrl_sim_envs.household.robot import drivers


def play(missions: int, memory_s: float) -> list[twin_missions.MissionResult]:
    """The results of the first `missions` recorded missions."""
    gate = drivers.GATE.model_copy(update={"memory_s": memory_s, "sensor_y_m": 0.0})
    drivers.EXACT = drivers.HomeSensor(drivers.ExactSensor, gate)
    twin_missions.ExpertDriver = lambda: drivers.ExpertDriver(gated=True)  # type: ignore[assignment,misc]
    setting = next(setting for setting in table_settings() if setting.policy == "learned")
    return [twin_missions.play_in_twin(setting, row).result for row in range(missions)]


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missions", type=int, default=100)
    parser.add_argument("--seconds", type=float, nargs="+", default=[3.0, 6.0, 3600.0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    figures = {}
    for memory_s in options.seconds:
        found = play(options.missions, memory_s)
        name = f"memory_{memory_s:g}_s"
        done = float(np.mean([result.success for result in found]))
        figures[f"{name}_done"] = Figure(done, "share of missions", len(found))
        figures[f"{name}_mission_s"] = Figure(float(np.mean([result.mission_s for result in found])), "s", len(found))
        figures[f"{name}_collisions"] = Figure(sum(result.collisions for result in found), "", len(found))
        print(name, *(f"{key.removeprefix(name + '_')} {figures[key].value:.3g}" for key in figures if name in key))

    if options.json is not None:
        command = " ".join(["python", "benchmarks/gate_memory.py", *sys.argv[1:]])
        write_results(options.json, make_results(command, 0, figures, {}))


if __name__ == "__main__":
    main()
