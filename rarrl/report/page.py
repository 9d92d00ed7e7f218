"""The report as one HTML file with picture, table and the decisions of the shown episode; no network, no scripts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from rarrl.events import ActEvent, ShockEvent, ThinkEvent
from rarrl.report.figure import POLICY_STYLES, ROLE_COLOURS, TABLE_HEAD, table_row
from rarrl.report.runs import Episode, Run, figures_of, shown_episode

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff }
body { max-width: 1404px; margin: 2rem auto; padding: 0 1rem }
img { width: 100%; height: auto }
img.wide { min-width: 900px }
h1 { font-size: 1.5rem }
h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .8rem; text-align: right }
td:first-child, th:first-child, .text { text-align: left }
tr { border-bottom: 1px solid #ddd }
th { color: #666; font-weight: 600 }
.scroll { overflow-x: auto; max-width: 100% }
.scroll td, .scroll th { white-space: nowrap }
.scroll td.text { white-space: normal; min-width: 9rem }
summary { cursor: pointer; padding: .3rem 0; font-weight: 600 }
.dot { display: inline-block; width: .75em; height: .75em; margin-right: .5em; border-radius: 2px }
.note { color: #666 }
.bad { color: #b3261e; font-weight: 600 }
.good { color: #00805c; font-weight: 600 }
"""
"""The page's style sheet; 1404 px is the width of the picture."""


def page(runs: Sequence[Run], picture: bytes, notes: Sequence[str] = (), perception: bytes = b"") -> str:
    """Returns the whole page.

    picture: the PNG. notes: lines of text under the table. perception: another PNG, shown at the end."""
    chosen = shown_episode(runs)
    first = runs[0].header
    what = (
        f"profile {first.profile}, seed {first.seed}, {'over ROS 2' if first.source == 'graph' else 'in one process'}"
    )
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>rarrl report</title>",
        "<meta name='viewport' content='width=device-width'>",
        f"<style>{STYLE}</style></head><body><h1>rarrl report</h1>",
        f"<p class='note'>{escape(what)}, {escape(first.date)}</p>",
        image(picture, "Strip charts, budgets, success against LLM seconds"),
        "<h2>All episodes</h2><div class='scroll'>",
        _table(runs),
        "</div>",
        "<p class='note'>LLM seconds, tokens and calls are means over the episodes; deadline misses are counted over "
        "all of them. The interval is Wilson's.</p>",
        *(
            f"<p class='note'>{escape(note)}</p>"
            for note in (*notes, *(f"{r.policy}: {r.note}" for r in runs if r.note))
        ),
    ]

    if chosen:
        number, rule = chosen
        goal = runs[-1].episode(number).start.goal
        quoted = f" \u201c{escape(goal)}\u201d" if goal else ""
        parts.append(f"<h2>Decisions of episode {number}{quoted}</h2><p class='note'>Shown: {escape(rule)}.</p>")
        parts += [_decisions(run, run.episode(number), index, index == len(runs) - 1) for index, run in enumerate(runs)]

    if perception:
        parts.append(image(perception, "Stereo pairs, the obstacles in them, from above and in space"))

    return "\n".join(parts) + "\n</body></html>\n"


def image(data: bytes, text: str, kind: str = "png", style: str = "") -> str:
    """Returns a picture as HTML, embedded in the page. text: the alternative text. style: its class."""
    return f"<img class='{style}' alt='{text}' src='data:image/{kind};base64,{base64.b64encode(data).decode()}'>"


def count(n: int, what: str) -> str:
    """A number with its noun.

    >>> count(1, "call"), count(2, "call")
    ('1 call', '2 calls')
    """
    return f"{n} {what}{'' if n == 1 else 's'}"


def dot(colour: str) -> str:
    """Returns a small coloured square that stands before a name, as HTML."""
    return f"<span class='dot' style='background:{colour}'></span>"


def _table(runs: Sequence[Run]) -> str:
    rows = ["<tr>" + "".join(f"<th>{escape(name)}</th>" for name in TABLE_HEAD) + "</tr>"]
    for index, run in enumerate(runs):
        cells = [escape(cell) for cell in table_row(figures_of(run))]
        cells[0] = dot(POLICY_STYLES[index % len(POLICY_STYLES)][0]) + cells[0]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")

    return "<table>" + "\n".join(rows) + "</table>"


def _decisions(run: Run, episode: Episode, index: int, unfolded: bool) -> str:
    outcome = "done" if episode.end.success else ("lost" if episode.end.lost else "out of attempts")
    tone = "good" if episode.end.success else "bad"
    texts = "".join(f"<th class='text'>{name}</th>" for name in ("decision", "outcome", "why"))
    rows = [f"<tr><th>at</th><th>took</th>{texts}</tr>"]

    for event, ends in episode.moments:
        if ends and isinstance(event, ThinkEvent) and event.beside:
            continue  # it stands where it was decided
        at = event.t if isinstance(event, ShockEvent) else event.t0 if isinstance(event, ActEvent | ThinkEvent) else 0.0
        start = f"<tr><td>{at - episode.start.t:.1f} s</td>"
        if isinstance(event, ShockEvent):
            left = f"{event.time_left_s:.1f} s and {event.tokens_left:.0f} tokens left"
            rows.append(
                f"{start}<td></td><td class='text bad'>budget cut</td><td class='text'>{left}</td><td></td></tr>"
            )
            continue

        assert isinstance(event, ActEvent | ThinkEvent)
        why = event.why
        if isinstance(event, ThinkEvent):
            why = f"{event.answer} \u2190 {why}" if event.answer else why
            name = dot(ROLE_COLOURS[(event.role, event.level)]) + f"THINK({event.role}, {event.level})"
            name += " beside acting" if event.beside else ""
            result = f"{event.status}, {event.tokens:.0f} tokens"
            result += f", {event.tokens_saved} saved" if event.tokens_saved else ""
            good = event.status in ("OK", "WITHDRAWN")
        else:
            name = f"ACT {escape(event.subgoal)}"
            result = event.status + (", sub-goal done" if event.subgoal_done else "")
            good = event.status == "SUCCESS"

        rows.append(
            f"{start}<td>{event.t1 - event.t0:.2f} s</td><td class='text'>{name}</td>"
            f"<td class='text{'' if good else ' bad'}'>{result}</td><td class='text'>{escape(why)}</td></tr>"
        )

    mark = dot(POLICY_STYLES[index % len(POLICY_STYLES)][0])
    head = f"{mark}{escape(run.policy)}: <span class='{tone}'>{outcome}</span>"
    head += f", {episode.end.llm_seconds:.1f} s of thinking in {count(episode.end.calls, 'call')}"
    table = "<div class='scroll'><table>" + "\n".join(rows) + "</table></div>"

    return f"<details{' open' * unfolded}><summary>{head}</summary>{table}</details>"
