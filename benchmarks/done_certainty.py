"""How often a step that counts as done was not done, for two robots, three suites of sensors and four ways to judge.

    python benchmarks/done_certainty.py [--robots 40] [--seeds 260] [--json benchmarks/results/done_certainty.json]
        [--weights rarrl/data/done_certainty.json]

Weights are fitted on training seeds, where three of ten steps go wrong, and tried on others, where one of ten does
(`learning/executive/done_trials.py` says what is simulated, what is drawn, and what is done to the robots on purpose).
Only results that report success are judged. --weights writes the fitted weights there; the figures are those of the
weights that were just fitted.

done: counts as done; of these, `false_success` were not. unsure: the robot looks at the place first, which takes
seconds, and learns from what it sees. not done: it tries again at once; of these, `needless` were done. coverage: the
share that is not unsure. Drives cannot go wrong in pyrobosim, so its figures are of picks, places and openings alone.

believe: the result code. time: done unless it took k times as long, or 1/k, as expected; k tuned on the training seeds
to the least false success at a coverage of 0.9. agree: unsure where any signal contradicts. ours: `Certainty`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rarrl.executive.certainty import SIGNS, SURE, SURE_NOT, WEIGHTS_PATH, Certainty, Trust, features
from rarrl.files import write_json_atomic
from rarrl.report.runs import wilson
from rarrl.results import Figure, make_results, write_results
from rarrl.skills.outcome import Outcome, SkillResult
from rarrl.skills.plan import Step
from rarrl_learning.executive.done_trials import (
    ALL_SIGNALS,
    EFFECTS,
    LOOK_S,
    SKILLS,
    SUITES,
    Sensors,
    Trial,
    household_trials,
    pyrobosim_trials,
    sensed,
)
from rarrl_learning.executive.fit_certainty import fingerprint, fit

TRAIN, TEST = 0, 1_000_000
"""First seeds."""
TRAIN_WRONG, TEST_WRONG = 0.3, 0.1
OTHER_RATES = (0.02, 0.3)
"""Lie rates that are tried besides, on pyrobosim."""
POOR = Sensors(gripper=0.1, misses=0.25, imagines=0.05, voxels=0.25)
"""Sensors that err two to three times as often as those that the weights were fitted to."""
FULL = "and camera"
BINS = (0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
COUNTED = ("pick", "place", "open")
"""Skills of pyrobosim whose results are judged here."""

Judge = Callable[[Trial], float]
"""Probability that a trial is done; is told by `learn` what was seen."""


class Ours:
    """The shipped judge, one per robot's life."""

    def __init__(self, weights: Mapping[str, float], counts: bool = False) -> None:
        self._make = lambda: (Counting if counts else Certainty)(weights)
        self._judges: dict[int, Certainty] = {}

    def __call__(self, trial: Trial) -> float:
        judge = self._judges.setdefault(trial.life, self._make())
        signals = trial.signals
        fields = {name: getattr(signals, name) for name in ALL_SIGNALS if name != "seconds"}
        result = SkillResult(Outcome.SUCCESS, "", signals.seconds or 0.0, fields=fields)
        return judge.judge(SKILLS[trial.skill], Step(trial.skill), result, signals.expected_s or 0.0)

    def learn(self, trial: Trial) -> None:
        self._judges[trial.life].confirm(trial.skill, trial.done)


class Counting(Certainty):
    """Trust as the share of what was seen to be true, with the same start: for comparison."""

    def confirm(self, skill_name: str, really_done: bool) -> None:
        before = self.trust(skill_name)
        confirmed, lies = before.confirmed + really_done, before.lies + (not really_done)
        share = (9.0 + confirmed) / (10.0 + confirmed + lies)  # 10 attempts: what START_SD is worth at 0.9
        sd = (1.0 + (confirmed + lies) * share * (1 - share)) ** -0.5
        self._trust[skill_name] = Trust(float(np.log(share / (1 - share))), min(sd, 1.0), confirmed, lies)


class Fixed:
    """A judge that does not learn."""

    def __init__(self, probability: Judge) -> None:
        self._probability = probability

    def __call__(self, trial: Trial) -> float:
        return self._probability(trial)

    def learn(self, trial: Trial) -> None:
        """Nothing."""


def believe(_: Trial) -> float:
    """What the code says."""
    return 1.0


def agree(trial: Trial) -> float:
    """Whether no signal contradicts; a time is none."""
    found = features(EFFECTS[trial.skill], trial.signals)
    against = [name for name in found if SIGNS[name] < 0 and ":" in name and name != "distance:m"]
    return 0.5 if against or found.get("distance:m", 0.0) > 0.3 else 1.0


def in_time(factor: float) -> Judge:
    """Done where the time fits."""

    def judge(trial: Trial) -> float:
        ratio = (trial.signals.seconds or 1.0) / (trial.signals.expected_s or 1.0)
        return 1.0 if 1 / factor <= ratio <= factor else 0.5

    return judge


def tuned_time(trials: Sequence[Trial]) -> float:
    """The factor with the least false success among those that keep a coverage of 0.9."""
    best = (2.0, 100.0)
    for factor in np.geomspace(1.05, 20.0, 60):
        table = counted(trials, Fixed(in_time(float(factor))))
        if table["coverage"] >= 0.9:
            best = min(best, (table["false_success"], float(factor)))
    return best[1]


def counted(trials: Sequence[Trial], judge: Any, sure: float = SURE) -> dict[str, Any]:
    """What a judge makes of the trials, in the order of each robot's life."""
    verdicts: list[tuple[float, Trial]] = []
    for trial in trials:
        p = judge(trial)
        verdicts.append((p, trial))
        if SURE_NOT <= p < sure:
            judge.learn(trial)

    done = [trial for p, trial in verdicts if p >= sure]
    dropped = [trial for p, trial in verdicts if p < SURE_NOT]
    n = len(verdicts)
    unsure = n - len(done) - len(dropped)
    wrong = sum(not trial.done for trial in done)
    looks_s = sum(LOOK_S[trial.robot] for p, trial in verdicts if SURE_NOT <= p < sure)
    return {
        "n": n,
        "wrong_share": round(float(np.mean([not trial.done for trial in trials])), 4),
        "done": len(done),
        "false_success": round(wrong / max(len(done), 1), 4),
        "false_success_95": [round(v, 4) for v in wilson(wrong, len(done))] if done else [0.0, 1.0],
        "coverage": round(1 - unsure / n, 4),
        "coverage_95": [round(v, 4) for v in wilson(n - unsure, n)],
        "not_done": len(dropped),
        "needless": round(sum(t.done for t in dropped) / max(len(dropped), 1), 4),
        "look_s_per_step": round(looks_s / n, 4),
        "verdicts": verdicts,
    }


def reliability(verdicts: Iterable[tuple[float, Trial]]) -> tuple[list[dict[str, Any]], float]:
    """Bins of what was said and what was true, and the mean gap between them, weighted by the bins' sizes."""
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for p, trial in verdicts:
        bins[int(np.searchsorted(BINS, p, side="right")) - 1].append((p, trial.done))
    rows, gap, total = [], 0.0, sum(map(len, bins.values()))
    for index in sorted(bins):
        said, true = np.mean(bins[index], axis=0)
        gap += abs(said - true) * len(bins[index]) / total
        low, high = wilson(round(true * len(bins[index])), len(bins[index]))
        rows.append(
            {
                "from": BINS[index],
                "n": len(bins[index]),
                "said": round(float(said), 4),
                "true": round(float(true), 4),
                "true_95": [round(low, 4), round(high, 4)],
            }
        )
    return rows, gap


def judged(trials: Iterable[Trial]) -> list[Trial]:
    """Those that count."""
    return [trial for trial in trials if trial.robot != "pyrobosim" or trial.skill in COUNTED]


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--robots", type=int, default=40, help="pyrobosim's robots, each for training and test")
    parser.add_argument("--seeds", type=int, default=260, help="seeds of the household, each for training and test")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--weights", type=Path, help="write the fitted weights there")
    options = parser.parse_args()
    robots, seeds = options.robots, options.seeds

    train = {
        "pyrobosim": list(pyrobosim_trials(range(TRAIN, TRAIN + robots), TRAIN_WRONG)),
        "household": list(household_trials(range(TRAIN, TRAIN + seeds), TRAIN_WRONG)),
    }
    test = {
        "pyrobosim": judged(pyrobosim_trials(range(TEST, TEST + robots), TEST_WRONG)),
        "household": judged(household_trials(range(TEST, TEST + seeds), TEST_WRONG)),
    }
    fewer = range(TEST, TEST + robots // 2)
    others = {f"{rate:.0%} lies": judged(pyrobosim_trials(fewer, rate)) for rate in OTHER_RATES}
    others["poor sensors"] = judged(pyrobosim_trials(fewer, TEST_WRONG, sensors=POOR))
    report(train, test, others, options)


def report(
    train: Mapping[str, list[Trial]],
    test: Mapping[str, list[Trial]],
    others: Mapping[str, list[Trial]],
    options: argparse.Namespace,
) -> None:
    """Prints the tables and writes the files."""
    everything = [trial for trials in train.values() for trial in trials]
    weights = fit(everything)
    foreign = {"pyrobosim": fit(train["household"]), "household": fit(train["pyrobosim"])}
    factors = {robot: tuned_time(judged(trials)) for robot, trials in train.items()}

    table: list[dict[str, Any]] = []
    said: list[tuple[float, Trial]] = []
    by_skill: list[dict[str, Any]] = []

    def add(robot: str, suite: str, judge_name: str, trials: Sequence[Trial], judge: Any, sure: float = SURE) -> Any:
        row = counted([sensed(trial, suite) for trial in trials], judge, sure)
        verdicts = row.pop("verdicts")
        table.append({"robot": robot, "suite": suite, "judge": judge_name, "sure": sure, **row})
        low, high = row["false_success_95"]
        print(
            f"{robot:10} {suite:16} {judge_name:24} n {row['n']:4}  wrong {row['wrong_share']:.3f}  false success "
            f"{row['false_success']:.3f} [{low:.3f}, {high:.3f}]  coverage {row['coverage']:.3f}  not done "
            f"{row['not_done']:3} (needless {row['needless']:.2f})  looks {row['look_s_per_step']:.2f} s a step"
        )
        return row, verdicts

    figures: dict[str, Figure] = {}
    for robot, trials in test.items():
        for suite in SUITES:
            if suite == "result and time":
                add(robot, suite, "believe", trials, Fixed(believe))
                add(robot, suite, f"time (k {factors[robot]:.1f})", trials, Fixed(in_time(factors[robot])))
            else:
                add(robot, suite, "agree", trials, Fixed(agree))
            row, verdicts = add(robot, suite, "ours", trials, Ours(weights))
            said += verdicts

        full = row
        figures[f"done_false_success_{robot}"] = Figure(
            full["false_success"], "share", full["done"], *full["false_success_95"]
        )
        figures[f"done_coverage_{robot}"] = Figure(full["coverage"], "share", full["n"], *full["coverage_95"])
        figures[f"done_look_s_{robot}"] = Figure(full["look_s_per_step"], "s a step", full["n"])
        for skill in SKILLS:
            mine = [(p, trial) for p, trial in verdicts if trial.skill == skill]
            if mine:
                done = [trial for p, trial in mine if p >= SURE]
                unsure = sum(SURE_NOT <= p < SURE for p, _ in mine)
                by_skill.append(
                    {
                        "robot": robot,
                        "skill": skill,
                        "n": len(mine),
                        "wrong": sum(not trial.done for _, trial in mine),
                        "done": len(done),
                        "false_successes": sum(not trial.done for trial in done),
                        "coverage": round(1 - unsure / len(mine), 4),
                        "missed": sorted({trial.how for trial in done if not trial.done}),
                    }
                )
                print("  ", by_skill[-1])

        add(robot, FULL, "weights of the other", trials, Ours(foreign[robot]))
        add(robot, FULL, "trust by counting", trials, Ours(weights, counts=True))
        for sure in (0.8, 0.85, 0.95):
            add(robot, FULL, f"ours, sure {sure}", trials, Ours(weights), sure)
    for name, trials in others.items():
        add("pyrobosim", FULL, f"ours, {name}", trials, Ours(weights))

    rows, gap = reliability(said)
    print("reliability:", *rows, f"mean gap {gap:.4f}", sep="\n  ")
    figures["done_reliability_gap"] = Figure(gap, "probability", len(said))
    print(weights)

    if options.weights:
        write_weights(options.weights, weights, everything, options)
    if options.json:
        tables = {
            "judges": table,
            "skills": by_skill,
            "reliability": rows,
            "weights": weights,
            "weights_sha256": fingerprint(weights),
        }
        command = f"python benchmarks/done_certainty.py --robots {options.robots} --seeds {options.seeds}"
        write_results(options.json, make_results(command, TRAIN, figures, tables))


def write_weights(
    path: Path, weights: Mapping[str, float], train: Sequence[Trial], options: argparse.Namespace
) -> None:
    """The file that `rarrl.executive.certainty` reads."""
    write_json_atomic(
        path,
        {
            "weights": dict(weights),
            "sha256": fingerprint(weights),
            "command": f"python benchmarks/done_certainty.py --robots {options.robots} --seeds {options.seeds} "
            f"--weights {WEIGHTS_PATH.relative_to(WEIGHTS_PATH.parents[2])}",
            "trials": len(train),
        },
    )


if __name__ == "__main__":
    main()
