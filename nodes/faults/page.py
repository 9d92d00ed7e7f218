"""The report of a fault campaign as one HTML file: no network, no scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rarrl.report.page import STYLE
from rarrl.results import Figure

from .campaign import Outcome

HEAD = ("row", "fault", "trials", "unsafe", "95 % below", "detected", "stopped", "recovered", "")
HELP = (
    "Unsafe: outputs that were judged unsafe, of all that were judged. 95 % below: with 0 unsafe, the upper end of the "
    "95 % interval of the share of injections that end badly, 3 / n. Times in seconds from the injection on: p50 / p99 "
    "/ max; recovered: from when the part may come back."
)


def page(document: Mapping[str, Any]) -> str:
    """The whole page of a results document of `rarrl faults run`."""
    outcomes: Sequence[Outcome] = list(document["tables"]["rows"].values())
    failed = [each for each in outcomes if each["failed"]]
    machine = document["machine"]
    what = f"{document['command']}, seed {document['seed']}, {document['date']}; {machine['processor']}, "
    verdict = (
        f"<p class='bad'>{len(failed)} of {len(outcomes)} rows failed.</p>"
        if failed
        else f"<p class='good'>All {len(outcomes)} rows held.</p>"
    )
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>rarrl faults</title>",
        "<meta name='viewport' content='width=device-width'>",
        f"<style>{STYLE}</style></head><body><h1>Faults injected on purpose</h1>",
        f"<p class='note'>{escape(what)}{machine['cores']} cores</p>",
        verdict,
        _table(("figure", "value", "n", "unit"), [_figure(*item) for item in document["figures"].items()]),
        "<h2>Rows</h2>",
        _table(HEAD, [_row(each) for each in outcomes]),
        f"<p class='note'>{HELP}</p>",
        "<h2>Each row</h2>",
        *(_details(each) for each in outcomes),
    ]
    return "\n".join(parts) + "\n</body></html>\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<div class='scroll'><table><tr>", *(f"<th>{escape(name)}</th>" for name in head), "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table></div>"])


def _figure(name: str, figure: Mapping[str, Any]) -> tuple[str, ...]:
    n = "" if figure["n"] is None else str(figure["n"])
    return escape(name), Figure(figure["value"], "").text(), n, escape(figure["unit"])


def _row(each: Outcome) -> tuple[str, ...]:
    end = f"<span class='bad'>{escape(each['failed'][0])}</span>" if each["failed"] else "<span class='good'>ok</span>"
    return (
        escape(each["name"]),
        escape(each["fault"]),
        str(each["trials"]),
        f"{each['unsafe']} / {each['outputs']}",
        "" if each["unsafe_bound"] is None else f"{each['unsafe_bound']:.2g}",
        *(times(each[key]) for key in ("detect_s", "stop_s", "recover_s")),
        end,
    )


def times(found: Mapping[str, float] | None) -> str:
    """p50 / p99 / max of a row's times; "" where there are none.

    >>> times({"n": 2, "p50": 0.25, "p99": 0.3, "max": 0.3})
    '0.25 / 0.3 / 0.3'
    """
    return "" if found is None else " / ".join(f"{found[key]:.2g}" for key in ("p50", "p99", "max"))


def _details(each: Outcome) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in each["counts"].items()) or "nothing"
    limits = ", ".join(f"{name} at most {most:g}" for name, most in each["limits"].items()) or "none"
    items = {
        "part": f"{each['part']}, {each['way']}",
        "injected": each["injected"],
        "expected": each["expected"],
        "limits at p99": limits,
        "counted": counts,
        "took": f"{each['seconds']:g} s at a load average of {each['load']:g}",
        "failed": "; ".join(each["failed"]),
        "notes": "; ".join(each["notes"]),
    }
    lines = "".join(f"<li>{name}: {escape(text)}</li>" for name, text in items.items() if text)
    title = escape(f"{each['name']}: {each['fault']}")
    opened = " open" if each["failed"] else ""
    return f"<details{opened}><summary>{title}</summary><ul>{lines}</ul></details>"
