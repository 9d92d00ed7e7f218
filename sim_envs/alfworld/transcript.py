"""A game as it was played, to be read: what was decided and why, what was typed, what the world said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from rarrl.clock import ManualClock
from rarrl.decision_loop import DecisionSession
from rarrl.executive.executive import TaskExecutive
from rarrl.executive.play import TaskEnd, play_task
from rarrl.reasoner.base import Answer, Reasoner, Request
from rarrl.skills.outcome import SkillResult
from rarrl.skills.plan import Step

from .games import Game, TextGame
from .robot import AlfworldPlayer


@dataclass(frozen=True)
class Line:
    """One decision. what: the skill, or the call. why: what for, and the policy's reason. said: (command, answer) of
    the world, or what the model wrote. thinks: whether a model was asked."""

    what: str
    why: str
    said: tuple[tuple[str, str], ...]
    seconds: float
    thinks: bool = False


@dataclass(frozen=True)
class Transcript:
    """A game that was played. policy: who decided. won: by the world's own test."""

    game: Game
    policy: str
    lines: tuple[Line, ...]
    won: bool
    end: TaskEnd

    @property
    def commands(self) -> int:
        """How many were given."""
        return sum(len(line.said) for line in self.lines if not line.thinks)

    @property
    def title(self) -> str:
        """The goal, and how it went, on one line."""
        how = "won" if self.won else "not won"
        return (
            f"{self.game.goal}  [{self.policy}: {how}, {self.commands} commands, {self.end.calls} calls, "
            f"{self.end.llm_s:.1f} s and {self.end.tokens:.0f} tokens of thinking]"
        )


@dataclass
class _Noting:
    """Stands before player and reasoner, and notes what passes."""

    executive: TaskExecutive
    player: AlfworldPlayer
    session: DecisionSession | None
    reasoner: Reasoner | None
    name: str = ""
    lines: list[Line] = field(default_factory=list)

    def run(self, step: Step, timeout_s: float) -> SkillResult:
        why, before = purpose(self.executive, step), len(self.player.log)
        result = self.player.run(step, timeout_s)
        said = tuple((each.command, each.answer) for each in self.player.log[before:])
        self.lines.append(Line(str(step), self._with_reason(why), said or (("", result.why),), result.seconds))
        return result

    def ask(self, request: Request) -> Answer:
        assert self.reasoner is not None
        answer = self.reasoner.ask(request)
        what = f"THINK {request.role.value} {request.level}"
        found = answer.plan if answer.plan is not None else answer.verdict
        self.lines.append(
            Line(
                what,
                self._with_reason(""),
                (("", f"{answer.status.value}: {found or answer.why}"),),
                answer.seconds,
                True,
            )
        )
        return answer

    def close(self) -> None:
        """Nothing of its own."""

    def _with_reason(self, why: str) -> str:
        decision = self.session.decision if self.session is not None else None
        return "; ".join(filter(None, (why, decision.why if decision is not None else "")))


def purpose(executive: TaskExecutive, step: Step) -> str:
    """What a skill is for, by the plan in force."""
    row = next((row for row, done in enumerate(executive.finished_rows) if not done), None)
    if row is None:
        return ""
    wanted = executive.steps[row]
    if step == wanted:
        return f"row {row + 1} of the plan"
    sought = [thing for thing in wanted.arguments if thing in executive.domain.world.things]
    state = executive.beliefs.state
    if sought and step.skill in ("go", "open", "look") and sought[0] not in state.held:
        places = dict(executive.beliefs.likely_places(sought[0]))
        if not state.places_of(sought[0]) and step.arguments[0] in places:
            return f"looks for {sought[0]}: it is there with {places[step.arguments[0]]:.0%}"
    return f"prepares {wanted}"


def play_transcript(
    game: Game,
    played: TextGame,
    executive: TaskExecutive,
    policy: str,
    session: DecisionSession | None = None,
    reasoner: Reasoner | None = None,
) -> Transcript:
    """Plays a game to its end.

    Args:
        game: its goal is what the robot is told.
        played: the same, begun, with no command given.
        executive: new, of this home.
        policy: what to call who decides.
        session, reasoner: see `rarrl.executive.play.play_task`."""
    player = AlfworldPlayer(played, executive.domain)
    noting = _Noting(executive, player, session, reasoner)
    asked = noting if reasoner is not None else None
    end = play_task(executive, game.goal, noting, ManualClock(), session, asked)
    return Transcript(game, policy, tuple(noting.lines), played.won, end)


def as_text(transcripts: Sequence[Transcript]) -> str:
    """All of them, plain."""
    rows: list[str] = []
    for each in transcripts:
        rows += [each.title, "-" * min(len(each.title), 100)]
        for number, line in enumerate(each.lines, start=1):
            rows.append(f"{number:3}. {line.what}  ({line.why})" if line.why else f"{number:3}. {line.what}")
            rows += [f"     {'> ' + command + '  ' if command else ''}{answer}" for command, answer in line.said]
        rows += [f"     {each.end.status.value}: {each.end.why}", ""]
    return "\n".join(rows)


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h2{font-size:1.05rem;margin:2rem 0 .3rem}ol{padding-left:2rem}li{margin:.4rem 0}code{background:#f2f2f2;padding:0 .3em}
.why{color:#777}.think{background:#fff6e0}.won{color:#18794e}.lost{color:#b42318}"""


def as_html(transcripts: Sequence[Transcript], heading: str) -> str:
    """All of them as a page of its own; nothing is loaded from elsewhere."""
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(heading)}</title>",
        f"<style>{_STYLE}</style></head><body><h1>{escape(heading)}</h1>",
    ]
    for each in transcripts:
        parts.append(f"<h2 class='{'won' if each.won else 'lost'}'>{escape(each.title)}</h2><ol>")
        for line in each.lines:
            said = "<br>".join(
                f"{f'<code>{escape(command)}</code> ' if command else ''}{escape(answer)}"
                for command, answer in line.said
            )
            why = f" <span class='why'>{escape(line.why)}</span>" if line.why else ""
            parts.append(f"<li{' class=think' * line.thinks}><b>{escape(line.what)}</b>{why}<br>{said}</li>")
        parts.append(f"</ol><p>{escape(each.end.status.value)}: {escape(each.end.why)}</p>")
    return "\n".join(parts) + "\n</body></html>\n"
