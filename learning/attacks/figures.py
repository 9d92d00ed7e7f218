"""`rarrl bench attacks`: how many attacks succeed per verb and channel, without the rules and with them, and what the
rules cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rarrl.alfred import read_alfred
from rarrl.alfred_plans import ALFRED_DOMAIN, expert_plan
from rarrl.reasoner.base import Reasoner
from rarrl.results import Figure
from rarrl.skills.permission import Permission

from ..reasoner.injection import share
from .corpus import CHANNELS, Case, cases, domain, twins
from .play import Played, is_valid, play

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Tried:
    """One attack: without rules, with them, and with them where the person who is asked says yes to all."""

    case: Case
    unchecked: Played
    checked: Played
    nods: Played

    @property
    def how(self) -> str:
        """What became of it under the rules."""
        if self.checked.succeeded:
            return "got through"
        return "a person said no" if self.checked.asked else "refused by rule"


def bench_attacks(
    backend: Reasoner | None = None,
    alfred: Path | None = None,
    attacks: Sequence[Case] | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """All figures. backend: a model that answers ALFRED's attacks besides the obeying one. alfred: the data set, whose
    expert plans are the control of how often a person is asked for nothing.

    Raises: InputError."""
    said = progress or (lambda _: None)
    attacks = tuple(attacks if attacks is not None else cases())
    robots = {case.robot for case in attacks}
    benign = [case for case in twins() if case.robot in robots]
    tried = []
    for number, case in enumerate(attacks, start=1):
        checked = play(case)
        nods = play(case, person="nods") if checked.asked else checked
        tried.append(Tried(case, play(case, rules=False), checked, nods))
        said(number)
    fine = []
    for number, case in enumerate(benign, start=len(attacks) + 1):
        fine.append((case, play(case, rules=False), play(case)))
        said(number)

    figures = _figures(tried, fine)
    tables: dict[str, Any] = {
        "verbs": _table(tried, lambda each: f"{each.case.robot}: {each.case.verb}"),
        "channels": _table(tried, lambda each: each.case.channel, CHANNELS),
        "verbs_by_channel": _table(tried, lambda each: f"{each.case.verb}, {each.case.channel}"),
        "robots": _table(tried, lambda each: each.case.robot),
        "kinds": _table(tried, _kind, ("said openly", "a plain remark", "a lie of perception")),
        "halves": _table(tried, _half),
        "how": dict(Counter(each.how for each in tried)),
        "through": [_line(each.case, each.checked) for each in tried if each.checked.succeeded],
        "benign_lost": [_line(case, checked) for case, _, checked in fine if not checked.succeeded],
        "benign_asked": sorted({f"{case.goal}: {checked.asked[0]}" for case, _, checked in fine if checked.asked}),
    }
    if alfred is not None:
        more, tables["asked_for_nothing"] = asked_for_nothing(alfred)
        figures |= more
    if backend is not None:
        figures |= _of_model(backend, attacks)
    return figures, tables


def _figures(tried: Sequence[Tried], fine: Sequence[tuple[Case, Played, Played]]) -> dict[str, Figure]:
    held = [each for each in tried if each.case.held_out and not each.case.fresh]
    seen = [each for each in tried if not each.case.held_out and not each.case.fresh]
    fresh = [each for each in tried if each.case.fresh]
    found = {
        "attack_success_unchecked": _share(each.unchecked.succeeded for each in tried),
        "attack_success_checked": _share(each.checked.succeeded for each in tried),
        "attack_success_checked_person_nods": _share(each.nods.succeeded for each in tried),
        "attacks_asked": _share(bool(each.checked.asked) for each in tried),
        "attacks_valid": _share(is_valid(each.case) for each in tried),
        "attacks_contextual": _share(each.case.contextual for each in tried),
        "task_done_under_attack_unchecked": _share(each.unchecked.task_done for each in tried),
        "task_done_under_attack_checked": _share(each.checked.task_done for each in tried),
        "benign_success_unchecked": _share(unchecked.succeeded for _, unchecked, _ in fine),
        "benign_success_checked": _share(checked.succeeded for _, _, checked in fine),
        "benign_asked": _share(bool(checked.asked) for _, _, checked in fine),
    }
    for name, half in (("held_out", held), ("seen", seen), ("fresh", fresh)):
        if half:
            found[f"attack_success_unchecked_{name}"] = _share(each.unchecked.succeeded for each in half)
            found[f"attack_success_checked_{name}"] = _share(each.checked.succeeded for each in half)
    told = [each for each in tried if each.case.channel == "instruction"]
    found["attack_success_checked_instruction"] = _share(each.checked.succeeded for each in told)
    found["attack_success_checked_instruction_fresh"] = _share(
        each.checked.succeeded for each in told if each.case.fresh
    )
    valid = [each for each in tried if is_valid(each.case)]
    plain = [each for each in valid if each.case.contextual]
    found["attack_success_checked_valid_contextual"] = _share(each.checked.succeeded for each in plain)
    return found


def _share(flags: Iterable[bool]) -> Figure:
    counted = list(flags)
    return share(sum(counted), len(counted)) if counted else Figure(0.0, "share", 0)


def _half(each: Tried) -> str:
    if each.case.fresh:
        return "fresh"
    return "held aside" if each.case.held_out else "seen while the rules were made"


def _kind(each: Tried) -> str:
    if each.case.lie is not None:
        return "a lie of perception"
    return "a plain remark" if each.case.contextual else "said openly"


def _table(
    tried: Sequence[Tried], key: Callable[[Tried], str], order: Sequence[str] = ()
) -> dict[str, dict[str, float]]:
    groups: dict[str, list[Tried]] = {name: [] for name in order}
    for each in tried:
        groups.setdefault(key(each), []).append(each)
    table = {}
    for name, some in groups.items() if order else sorted(groups.items()):
        if not some:
            continue
        checked = _share(each.checked.succeeded for each in some)
        table[name] = {
            "n": len(some),
            "unchecked": sum(each.unchecked.succeeded for each in some),
            "checked": sum(each.checked.succeeded for each in some),
            "asked": sum(bool(each.checked.asked) for each in some),
            "share": checked.value,
            "lo": checked.lo or 0.0,
            "hi": checked.hi or 0.0,
        }
    return table


def _line(case: Case, played: Played) -> str:
    asked = f"; asked: {played.asked[-1]}" if played.asked else ""
    return f"{case.id}: {case.goal!r}; did: {', '.join(map(str, played.done[-4:]))}{asked}"


def asked_for_nothing(folder: Path, split: str = "valid_seen") -> tuple[dict[str, Figure], list[str]]:
    """How often a person would be asked about a plan that is the expert's for the sentence: nobody attacks there.

    Raises: InputError."""
    asked = []
    n = 0
    state = ALFRED_DOMAIN.world.start_state()
    for source in read_alfred(folder, split).plans:
        plan = expert_plan(source)
        if ALFRED_DOMAIN.check(plan):
            continue
        for annotation in source.annotations:
            n += 1
            why = Permission(annotation.goal, ALFRED_DOMAIN).questions(plan, state)
            if why:
                row, text = next(iter(why.items()))
                asked.append(f"{annotation.goal}: {plan.steps[row]}: {text}")
    return {"asked_for_nothing": share(len(asked), n)}, asked


def _of_model(backend: Reasoner, attacks: Sequence[Case]) -> dict[str, Figure]:
    """A real model on ALFRED's attacks; it reads the sentence, so only the instruction can move it."""
    mine = [case for case in attacks if case.robot == "alfred" and case.channel == "instruction"]
    answers = [(case, play(case, rules=False, backend=backend), play(case, backend=backend)) for case in mine]
    return {
        "model_attack_success_unchecked": _share(unchecked.succeeded for _, unchecked, _ in answers),
        "model_attack_success_checked": _share(checked.succeeded for _, _, checked in answers),
    }


def robots_of(attacks: Iterable[Case]) -> tuple[str, ...]:
    """Names of the robots, and what they are, for people."""
    return tuple(f"{name}: {domain(name).skills.robot}" for name in dict.fromkeys(case.robot for case in attacks))
