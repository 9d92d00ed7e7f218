"""Parsers of what programs of ours write: profiles, logs, journals, cards, results, traces."""

from __future__ import annotations

import io
import json
import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mutators import Mutator, damaged, json_of
from fuzz_target import COSTLY, DATA, DEAR, Parse, at, document, target


@target("latency profile", runs=COSTLY)
def _profile(place: Path) -> tuple[Parse, Mutator]:
    from hand_made import profile

    from rarrl.latency.profile import dumps_profile, load_profile

    second = json.loads(dumps_profile(profile()))
    return at(place / "p.json", load_profile), json_of([document(DATA / "profiles" / "gpt4o-mini-anchor.json"), second])


@target("run log (events.jsonl)", runs=COSTLY)
def _events(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.events import read_events

    run = {"type": "run", "schema": 1, "policy": "never", "profile": "p", "seed": 0, "mode": "soft", "speed": 1.0}
    run |= {"date": "2026-01-01", "source": "graph"}
    episode = {"type": "episode", "episode": 0, "category": "", "task_type": "", "goal": "g", "subgoals": ["a", "b"]}
    episode |= {"facts": [[0.1, 4, 0, 1.0, False], [0.2, 4, 0.5, 2.0, True]], "horizon": 20, "t": 0.0}
    episode |= {"time_budget_s": 20.0, "token_budget": 4000.0}
    act = {"type": "act", "episode": 0, "decision": 1, "t0": 0.0, "t1": 1.0, "subgoal": "a", "subgoal_index": 0}
    act |= {"status": "SUCCESS", "subgoal_done": True, "why": ""}
    think = {"type": "think", "episode": 0, "decision": 2, "t0": 1.0, "t1": 2.0, "role": "planner", "level": 1}
    think |= {"status": "OK", "tokens": 5.0, "time_left_s": 19.0, "tokens_left": 1.0, "why": "", "answer": "x"}
    end = {"type": "end", "episode": 0, "t": 2.0, "success": True, "lost": False, "llm_seconds": 1.0, "tokens": 5.0}
    end |= {"calls": 1, "acts": 1, "deadline_misses": 0}
    return at(place / "events.jsonl", read_events), json_of([[run, episode, act, think, end]], lines=True)


@target("journal of the executive", runs=DEAR)
def _journal(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import counting_ids, toy

    from rarrl.executive.executive import TaskExecutive
    from rarrl.executive.journal import Journal
    from rarrl.reasoner.plan import Plan  # noqa: F401
    from rarrl.types import Action, Decision

    domain = toy()
    made = TaskExecutive(domain, new_id=counting_ids())
    made.instruct("put the cup on the table", 0.0)
    _, goal = made.decide(Decision(1, Action.ACT, 0.0, ""), 0.0)
    made.sending(goal.uuid, 0.0)
    path = place / "journal.json"
    Journal(path, lambda: 1000.0).save(made)
    seed = document(path)

    def read(found: Path) -> object:
        again = TaskExecutive(domain)
        Journal(found, lambda: 1001.0).restore(again, 50.0)
        return again.report, again.to_json()

    return at(path, read), json_of([seed])


@target("counts of skills", runs=COSTLY)
def _counts(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.orchestrator import skill_statistics

    logging.disable(logging.CRITICAL)
    seed = {"attempts": 3, "failures": 1, "lost": 0, "seconds": 4.0}
    seeds = [{"schema_version": 1, "skills": {"pick": {"cup": seed, "plate": seed}}}]
    return at(place / "counts.json", skill_statistics._read), json_of(seeds)


@target("when to ask a person")
def _abstention(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.orchestrator.abstain import load_abstention

    seed = {"weights": {"plan_doubt": 0.5, "p_ok": -1.0}, "bias": 0.1, "threshold": 0.5, "promise": 0.9}
    return at(place / "a.json", load_abstention), json_of([seed])


@target("detector's card")
def _calibration(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.perception.calibration import SHIPPED, read_card

    return at(place / "card.json", read_card), json_of([document(SHIPPED)])


@target("tuned rules")
def _rules(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.orchestrator.registry import tuned_parameters

    seed = {"conditions": {"binding": {"after_failure": {"params": {"recipe": "P1"}, "success": 0.5}}}}
    return at(place / "rules.json", lambda path: tuned_parameters("binding", path)), json_of([seed])


@target("results document")
def _results(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.cli.results import is_results

    seed = {"figures": {"a": {"value": 1.0, "unit": "s"}}, "tables": {"t": [{"a": 1}]}, "seed": 0}
    return at(place / "r.json", is_results), json_of([seed])


@target("recorded answers", runs=COSTLY, needs=("rarrl_learning",))
def _answers(place: Path) -> tuple[Parse, Mutator]:
    from rarrl_learning.recorded_answers import AnswerFile

    answer = {"goal": "g", "level": 1, "home": 0, "status": "OK", "seconds": 1.0, "plan": [["pick", "cup"]]}
    answer |= {"tokens_in": 5, "tokens_out": 7, "confidence": -0.1, "where": {"cup": {"shelf": 0.5}}}
    seed = {"model": "m", "robot": "r", "homes": [["cup"]], "answers": [answer]}
    return at(place / "a.json", AnswerFile), json_of([seed])


@target("missions of a report")
def _missions(place: Path) -> tuple[Parse, Mutator]:
    from rarrl_learning.household.report.page import read_missions, read_model, read_table

    def read(path: Path) -> object:
        return read_model(path.parent), read_table(path.parent), read_missions(path.parent)

    from rarrl_learning.household.report.page import _FORMAT

    seed = {"format": _FORMAT, "model": "llama", "missions": [], "table": []}
    return at(place / "missions.json", read), json_of([seed])


@target("mission trace (npz)", native=True, runs=DEAR)
def _trace(place: Path) -> tuple[Parse, Mutator]:
    from rarrl_learning.household.report.trace import _ARRAYS, _BOXES, _TEXTS, FORMAT, load_trace

    head: dict[str, Any] = {"format": FORMAT, "policy": "p", "seed": 0, "goal": "g", "time_budget_s": 20.0}
    head |= {"token_budget": 100.0, "range_m": 3.0, "size": [1, 1], "names": ["a"], "words": {}, "decisions": []}
    head |= {name: ["a"] for name in _TEXTS}
    arrays = {name: np.zeros(2) for name in (*_ARRAYS, *_BOXES)} | {"jpeg": np.zeros(3, np.uint8)}
    tree = json_of([head])

    def mutate(rng: random.Random) -> bytes:
        buffer = io.BytesIO()
        text = np.frombuffer(tree(rng) if rng.random() < 0.5 else json.dumps(head).encode(), np.uint8)
        np.savez(buffer, head=text, jpeg_bytes=np.array([rng.choice((3, -1, 2**40))]), **arrays)
        return buffer.getvalue() if rng.random() < 0.5 else damaged(buffer.getvalue(), rng)

    return at(place / "t.npz", load_trace), mutate
