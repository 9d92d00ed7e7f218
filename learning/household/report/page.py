"""The report of household missions: report.png, report.html, mission.gif, and a recording where rerun is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from rarrl.errors import InputError
from rarrl.files import write_bytes_atomic, write_json_atomic, write_text_atomic
from rarrl.report import HTML, PNG
from rarrl.report.figure import POLICY_STYLES, ROLE_COLOURS
from rarrl.report.page import STYLE, count, dot, image
from rarrl.strict_json import read_json

from .figure import CONDITIONS, HEAD, figures_of, render, shown_seed
from .film import gif
from .mission_table import HEAD as TABLE_HEAD
from .mission_table import NOTE, Block, from_json, to_json
from .recording import available, write_recording
from .trace import MissionResult, Played, TracedDecision, load_trace, save_trace

MISSIONS = "missions.json"
RESULTS = "table.json"
GIF = "mission.gif"
RECORDING = "mission.rrd"
_FORMAT = "rarrl missions 1"


@dataclass(frozen=True)
class MissionReport:
    """What was written. gif: None where no mission was filmed; recording: None without rerun."""

    png: Path
    html: Path
    gif: Path | None
    recording: Path | None
    results: tuple[MissionResult, ...]


def save_missions(folder: Path, played: Sequence[Played], model: str = "llama", table: Sequence[Block] = ()) -> None:
    """Keeps what was played: all results and calls, and the traces of the one mission that a report shows. model: who
    thought, as in `--llm`, without secrets. table: many missions more, without pictures."""
    values = [{"result": asdict(p.result), "thoughts": [asdict(d) for d in p.thoughts]} for p in played]
    document = {"format": _FORMAT, "model": model, "missions": values, "table": to_json(table)}
    write_json_atomic(folder / MISSIONS, document)
    seed = shown_seed([p.result for p in played])[0] if played else 0
    for played_one in played:
        if played_one.trace is not None and played_one.result.seed == seed:
            save_trace(folder / _trace_name(played_one.result), played_one.trace)


def read_missions(folder: Path) -> list[Played]:
    """What `save_missions` kept of the missions with pictures. Raises: InputError."""
    path = folder / MISSIONS
    stored = read_json(path, "missions")
    try:
        if stored["format"] != _FORMAT:
            raise ValueError("another format")
        results = [MissionResult(**entry["result"]) for entry in stored["missions"]]
        thoughts = [tuple(TracedDecision(**d) for d in entry["thoughts"]) for entry in stored["missions"]]
        files = [folder / _trace_name(result) for result in results]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"missions: {path} is none of ours ({str(error)[:80]}); play the missions again") from None

    traces = [load_trace(file) if file.exists() else None for file in files]
    return [Played(*one) for one in zip(results, thoughts, traces, strict=True)]


def read_table(folder: Path) -> list[Block]:
    """What `save_missions` kept of the table; [] where there is none. Raises: InputError."""
    path = folder / MISSIONS
    try:
        return from_json(read_json(path, "missions").get("table", []))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"missions: {path} is none of ours ({str(error)[:80]}); play the missions again") from None


def read_model(folder: Path) -> str:
    """Who thought in the missions of `folder`, as in `--llm`; files that do not say it are of the shipped model."""
    stored = read_json(folder / MISSIONS, "missions")
    return str(stored.get("model", "llama")) if isinstance(stored, dict) else "llama"


def write_mission_report(folder: Path, notes: Sequence[str] = ()) -> MissionReport:
    """Draws what `save_missions` kept in `folder`. notes: lines under the table. Raises: InputError."""
    played = read_missions(folder)
    results = [p.result for p in played]
    table = read_table(folder)
    if not results and not table:
        raise InputError(f"missions: {folder / MISSIONS} holds none; play some")

    seed, rule = shown_seed(results) if results else (0, "not played yet")
    if table:
        rule = "the one that tells most: in the table, those that learned do it at either price, others do not"
    shown = [p for p in played if p.result.seed == seed and p.trace is not None]
    traces = [p.trace for p in shown if p.trace is not None]
    write_bytes_atomic(folder / PNG, render(traces, results, table=table))
    picture = render(traces, results, with_table=False)
    filmed = next((p for p in reversed(shown) if p.trace is not None and p.trace.pictures), None)
    film = b""
    if filmed is not None and filmed.trace is not None:
        film = gif(filmed.trace, filmed.result)
        write_bytes_atomic(folder / GIF, film)
    recording = None
    if available() and shown:
        recording = folder / RECORDING
        chosen = (filmed or shown[-1]).trace
        assert chosen is not None
        write_recording(recording, chosen)

    by = "" if filmed is None else filmed.result.policy
    write_text_atomic(folder / HTML, page(played, picture, film, by, rule, notes, table))
    return MissionReport(folder / PNG, folder / HTML, folder / GIF if film else None, recording, tuple(results))


def page(
    played: Sequence[Played],
    picture: bytes,
    film: bytes,
    by: str,
    rule: str,
    notes: Sequence[str],
    table: Sequence[Block] = (),
) -> str:
    """The whole page, self-contained. picture: PNG; film: GIF or b"", of the policy `by`; rule: which mission is
    shown; table: of many missions."""
    results = [p.result for p in played]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>rarrl missions</title>",
        "<meta name='viewport' content='width=device-width'>",
        f"<style>{STYLE}img.film {{ width: auto; max-width: 100%; display: block; margin: auto }}</style></head>",
        "<body><h1>Missions in a home</h1>",
    ]
    if film:
        parts += [image(film, "The mission from above, and what the left eye saw", "gif", "film")]
        parts += [
            f"<p class='note'>In the film, the policy \u201c{escape(by)}\u201d decides when the robot thinks.</p>"
        ]
    text = "The robot's path from above and its decisions over time, under each policy"
    parts += ["<div class='scroll'>", image(picture, text, style="wide"), "</div>"]
    parts += [f"<p class='note'>The mission shown is {escape(rule)}.</p>"]
    parts += [_block(block) for block in table]
    if table:
        parts += [f"<p class='note'>{escape(NOTE)}</p>"]
    parts += ["<h2>Missions with pictures</h2><div class='scroll'>", _table(results), "</div>"]
    parts += [
        "<p class='note'>Mission time, LLM seconds, tokens and calls are means; collisions and gate stops are counted. "
        f"The interval is Wilson's. {escape(CONDITIONS)}</p>"
    ]
    parts += [f"<p class='note'>{escape(note)}</p>" for note in notes]
    parts += ["<div class='scroll'>", _missions(results), "</div>", "<h2>What the language model wrote</h2>"]
    parts += [_thoughts(p) for p in played if p.thoughts] or ["<p class='note'>Nobody asked it.</p>"]

    return "\n".join(parts) + "\n</body></html>\n"


def _trace_name(result: MissionResult) -> str:
    safe = "".join(c if c.isalnum() or c in "_-" else "_" for c in result.policy)[:40]
    return f"trace_{safe}_{int(result.seed)}.npz"


def _table(results: Sequence[MissionResult]) -> str:
    rows = ["<tr>" + "".join(f"<th>{name}</th>" for name in HEAD) + "</tr>"]
    rows += [_row(index, figures.row()) for index, figures in enumerate(figures_of(results))]
    return "<table>" + "\n".join(rows) + "</table>"


def _block(block: Block) -> str:
    rows = "\n".join(_row(index, row.cells()) for index, row in enumerate(block.rows()))
    head = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in TABLE_HEAD) + "</tr>"
    table = f"<div class='scroll'><table>{head}\n{rows}</table></div>"
    return f"<h2>{escape(block.title)}</h2><p>{escape(block.meaning())}</p>{table}"


def _row(index: int, cells: Sequence[str]) -> str:
    """A row of a table, its first cell with the mark of policy number `index`."""
    mark = dot(POLICY_STYLES[index % len(POLICY_STYLES)][0])
    return "<tr>" + "".join(f"<td>{mark * (not i)}{escape(cell)}</td>" for i, cell in enumerate(cells)) + "</tr>"


def _missions(results: Sequence[MissionResult]) -> str:
    """A row per mission, a column per policy."""
    policies = list(dict.fromkeys(r.policy for r in results))
    rows = ["<tr>" + "".join(f"<th class='text'>{escape(name)}</th>" for name in ("goal", *policies)) + "</tr>"]
    for seed in dict.fromkeys(r.seed for r in results):
        own = {r.policy: r for r in results if r.seed == seed}
        cells = [f"<td class='text'>{escape(next(iter(own.values())).goal)}</td>"]
        for policy in policies:
            r = own.get(policy)
            cells.append("<td></td>" if r is None else _outcome(r))
        rows.append("<tr>" + "".join(cells) + "</tr>")

    return "<table>" + "\n".join(rows) + "</table>"


def _outcome(r: MissionResult) -> str:
    tone, text = ("good", "done") if r.success else ("bad", f"{100 * r.share:.0f} %: {escape(r.end_reason)}")
    return f"<td class='text'><span class='{tone}'>{text}</span>, {r.mission_s:.0f} s, {count(r.calls, 'call')}</td>"


def _thoughts(played: Played) -> str:
    r = played.result
    rows = ["<tr><th>at</th><th>took</th><th>tokens</th><th class='text'>asked to</th><th class='text'>wrote</th></tr>"]
    for d in played.thoughts:
        asked = {"planner": "write a plan", "verifier": "check the plan"}.get(d.role, d.role)
        tone = "" if d.status == "OK" else " bad"
        wrote = d.answer if d.status == "OK" else f"{d.status}: {d.answer}"
        rows.append(
            f"<tr><td>{d.t0:.1f} s</td><td>{d.seconds:.2f} s</td><td>{d.tokens:.0f}</td>"
            f"<td class='text'>{dot(ROLE_COLOURS[(d.role, max(d.level, 1))])}{asked}, level {d.level}</td>"
            f"<td class='text{tone}'>{escape(wrote)}</td></tr>"
        )

    head = f"{escape(r.policy)}: \u201c{escape(r.goal)}\u201d, {'done' if r.success else escape(r.end_reason)}"
    table = "<div class='scroll'><table>" + "\n".join(rows) + "</table></div>"
    return f"<details{' open' * (played.trace is not None)}><summary>{head}</summary>{table}</details>"
