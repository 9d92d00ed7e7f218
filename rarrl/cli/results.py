"""Results documents on the terminal and as pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rarrl.cli.common import check_output, console, table
from rarrl.errors import InputError
from rarrl.files import read_file
from rarrl.strict_json import parse_json, read_json

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
"""The committed results, where the package lies in its repository."""
# Of an evaluation: title, and the key in the document's tables.
COMPARISONS = {
    "unbound": "Unbound budget",
    "binding": "Binding budget",
    "held_out_profiles": "Language models not seen in training, binding budget",
}


def figure_text(figure: dict[str, Any], digits: int = 3) -> str:
    """e.g. `0.82 [0.80, 0.84]`; the brackets hold the 95 % interval.

    >>> figure_text({"value": 0.8214, "lo": 0.8, "hi": 0.84})
    '0.821 [0.8, 0.84]'
    """
    from rarrl.results import Figure

    return Figure(figure["value"], "", lo=figure.get("lo"), hi=figure.get("hi")).text(digits)


def print_results(results: dict[str, Any]) -> None:
    """Prints the figures, and the comparisons with the rules where there are such."""
    rows = [
        (name, figure_text(figure), "" if figure.get("n") is None else f"{figure['n']}", str(figure["unit"]))
        for name, figure in results["figures"].items()
    ]
    out, starred = console(), False
    for key, title in COMPARISONS.items():
        rules = results["tables"].get(key, {}).get("rules", {})
        if rules:
            head = (
                "rule",
                "success",
                "LLM seconds",
                "tokens",
                "calls",
                "learned, at no more seconds",
                "its gain, points",
            )
            cells = [_rule_row(name, row) for name, row in rules.items()]
            starred |= any("*" in cell for row in cells for cell in row)
            out.print(table(title, head, cells))
    if starred:
        out.print("* more seconds than the rule's: the cheapest setting of the learned policy still spends these.")
    out.print(table("Figures", ("figure", "value [95 % interval]", "n", "unit"), rows))


def _rule_row(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        f"{100 * row['success']:.1f} %",
        f"{row['llm_seconds']:.2f}",
        f"{row['tokens']:.0f}",
        f"{row['calls']:.2f}",
        f"{100 * row['learned_success']:.1f} % in {row['learned_llm_seconds']:.2f} s" + "*" * _spends_more(row),
        f"{row['gain_points']:+.1f} [{row['gain_lo']:+.1f}, {row['gain_hi']:+.1f}]",
    )


def _spends_more(row: dict[str, Any]) -> bool:
    return bool(row["learned_llm_seconds"] > row["llm_seconds"])


def is_results(path: Path) -> bool:
    """Whether the JSON file `path` is a results document (else it may be a latency profile).

    Raises: InputError where it cannot be read."""
    data = read_file(path, "results")
    try:
        document = parse_json(data, "results", str(path))
    except InputError:
        return False  # the profile's own reader says what is wrong
    return isinstance(document, dict) and {"figures", "tables"} <= set(document)


def plot_results(path: Path, picture: Path) -> None:
    """Draws the Pareto picture of the evaluation in `path`. Raises: InputError where it holds none."""
    from rarrl_learning.orchestrator.figures import pareto

    check_output(picture, "--out")
    results = read_json(path, "results")
    try:
        pareto(results, picture)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise InputError(
            f"results: {path} holds no comparison to draw ({type(error).__name__}: {error}); `rarrl eval orchestrator "
            "--json FILE` writes one"
        ) from None


def reminder(episodes: int, recorded: bool = False, results: Path = Path("benchmarks/results")) -> list[str]:
    """The lines under a demo's table: what so few episodes are worth, and what many more came to. `recorded`: of the
    evaluation on recorded answers of the shipped language model, not of that on measured latencies."""
    few = f"{episodes} episodes are an anecdote" if episodes != 1 else "1 episode is an anecdote"
    lines = [f"{few}; `rarrl eval orchestrator --json FILE` plays thousands."]
    names = ("orchestrator_recorded",) if recorded else ("demo", "orchestrator_eval")
    for file in (results / f"{name}.json" for name in names):
        try:
            document = json.loads(file.read_text("utf-8"))
            figures, tables = document["figures"], document["tables"]
            if "demo" in tables:
                many = ", ".join(f"{row['policy']} {100 * row['success']:.0f} %" for row in tables["demo"])
                n = figures["demo_gain_over_best_rule"]["n"]
                lines.append(f"Success over {n} tasks at these settings: {many} ({file}).")
            else:
                gain = figure_text(figures["gain_over_best_rule"])
                lines.append(
                    f"Full evaluation: learned minus the best rule at no more LLM seconds {gain} points ({file})."
                )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return lines


def mission_reminder(policies: Sequence[str], folder: Path = RESULTS, many: bool = False) -> list[str]:
    """The line under the missions of a demo: what those of the policies that are in the evaluation came to there; []
    where its results are not here, as in an installation without the repository. many: the demo played many itself,
    though without pictures."""
    try:
        rows = json.loads((folder / "mission.json").read_text("utf-8"))["tables"]["settings"]
        measured = {row["policy"]: row for row in reversed(rows) if row["latency"] == "measured"}  # the first of each
        policies = [name for name in policies if name in measured]
        n = measured[policies[0]]["missions"]
        done = ", ".join(f"{name} {100 * measured[name]['success']:.0f} %" for name in policies)
        seconds = ", ".join(f"{name} {measured[name]['LLM s']:.2g} s" for name in policies)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return []
    few = "So few missions are an anecdote, with an interval as wide as the table says. Measured"
    return [
        f"{'Measured with cameras, policy and gate' if many else few} over {n} missions each (`rarrl eval mission`): "
        f"done by {done}; the language model took {seconds} a mission."
    ]
