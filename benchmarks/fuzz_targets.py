"""The parsers of what comes from outside, each with valid inputs to begin from and the error that it documents."""

from __future__ import annotations

import http.client
import io
import json
import logging
import random
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mutators import Mutator, bytes_of, damaged, gguf_of, json_of, safetensors_of, yaml_of

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # homes, robots and policies that are made by hand

from rarrl.errors import InputError  # noqa: E402

DATA = ROOT / "rarrl" / "data"
MODELS = ROOT / "rarrl" / "models"
CHEAP, COSTLY, DEAR = 100_000, 20_000, 3_000
"""Executions: where a run takes a tenth of a millisecond, half of one, and several (YAML in plain Python, weights)."""

Parse = Callable[[bytes], object]
Start = Callable[[Path], tuple[Parse, Mutator]]
"""Takes an empty folder; gives the parser and the damaged inputs. It is called in the parser's own process."""


@dataclass(frozen=True)
class Target:
    """One parser. needs: modules without which it is left out. native: whether it calls code that could end the
    process. errors: what it documents."""

    name: str
    start: Start
    runs: int = CHEAP
    needs: tuple[str, ...] = ()
    native: bool = False
    errors: tuple[type[Exception], ...] = (InputError,)

    def missing(self) -> str:
        """Why it cannot run here; "" where it can."""
        lacks = [name for name in self.needs if find_spec(name) is None]
        return f"{', '.join(lacks)} is not installed" if lacks else ""


TARGETS: list[Target] = []


def target(name: str, **more: Any) -> Callable[[Start], Start]:
    """Adds a function to TARGETS."""

    def add(start: Start) -> Start:
        TARGETS.append(Target(name, start, **more))
        return start

    return add


def at(path: Path, read: Callable[[Path], object]) -> Parse:
    """A parser of files as one of bytes."""

    def parse(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return parse


def document(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text("utf-8"))


# Text formats


@target("strict JSON")
def _json(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.strict_json import parse_json

    seeds = [{"a": [1, 2.5, None, True, "text"], "b": {"c": {"d": [[], {}]}}}, [1, "a"], "text", 3]
    return lambda data: parse_json(data, "file", "a.json"), json_of(seeds)


@target("plain YAML", runs=DEAR)
def _yaml(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.strict_yaml import parse_yaml

    return lambda data: parse_yaml(data, "file", "a.yaml"), yaml_of(["a: 1\nb: [1, 2.5, text]\nc:\n  d: {e: 'f'}\n"])


@target("settings (YAML)", runs=DEAR)
def _config_yaml(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.config import load_config

    seed = "orchestrator:\n  policy: learned\n  time_budget_s: 20.0\ngate:\n  radius_m: 0.3\nreplay:\n  speed: 5.0\n"
    seed += 'language_model:\n  extra_body: {a: 1}\n  headers: \'{"X-A": "$B"}\'\n'
    return at(place / "a.yaml", load_config), yaml_of([seed])


@target("settings (values)", runs=COSTLY)
def _config(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.config import Config, config_from_values

    whole = Config().model_dump()
    seeds = [{section: values} for section, values in whole.items()]
    seeds.append({"language_model": {"extra_body": {"a": [1, {"b": "c"}]}, "headers": {"X-A": "$B"}}})
    return lambda data: config_from_values(_value(data), "a.yaml"), json_of(seeds)


def _value(data: bytes) -> Any:
    """What strict JSON leaves of `data`: the trees that YAML could hold as well."""
    from rarrl.strict_json import parse_json

    return parse_json(data, "file", "a.json")


@target("skills.yaml", runs=DEAR)
def _skills_yaml(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.skills.skill_set import load_skills

    return at(place / "skills.yaml", load_skills), yaml_of([(DATA / "starter" / "skills.yaml").read_text()])


@target("skills (values)", runs=COSTLY)
def _skills(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import SKILLS

    from rarrl.skills.skill_set import SkillSet
    from rarrl.strict_json import validated

    return lambda data: validated(SkillSet, _value(data), "skills", "skills.yaml", {}), json_of([SKILLS])


@target("world.yaml", runs=DEAR)
def _world_yaml(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.skills.world import load_world

    return at(place / "world.yaml", load_world), yaml_of([(DATA / "starter" / "world.yaml").read_text()])


@target("world (values)", runs=COSTLY)
def _world(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import WORLD

    from rarrl.skills.world import World
    from rarrl.strict_json import validated

    return lambda data: validated(World, _value(data), "world", "world.yaml", {}), json_of([WORLD])


@target("skills and world together", runs=COSTLY)
def _domain(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import SKILLS, WORLD

    from rarrl.skills.domain import Domain
    from rarrl.skills.skill_set import SkillSet
    from rarrl.skills.world import World
    from rarrl.strict_json import validated

    def parse(data: bytes) -> object:
        value = _value(data)
        value = value if isinstance(value, dict) else {}
        skills = validated(SkillSet, value.get("skills"), "skills", "skills.yaml", {})
        return Domain(skills, validated(World, value.get("world"), "world", "world.yaml", {}))

    return parse, json_of([{"skills": SKILLS, "world": WORLD}])


@target("operator's policy")
def _operator(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import toy

    from rarrl.skills.operator_policy import load_operator_policy

    domain = toy()
    seed = {
        "forbidden_things": ["lamp"],
        "forbidden_places": ["shelf"],
        "forbidden_pairs": [["cup", "table"]],
        "forbidden_skills": ["shut"],
        "max_steps": 5,
    }
    read = at(place / "operator.json", load_operator_policy)

    def parse(data: bytes) -> object:
        return read(data).check_names(domain.world, domain.skills)  # type: ignore[attr-defined]

    return parse, json_of([seed])


@target("home")
def _home(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.reasoner.home import read_home

    return at(place / "home.json", read_home), json_of([{"countertop": ["mug", "knife"], "shelf": []}])


@target("ROS parameter file", runs=DEAR, needs=("rclpy",))
def _parameters(place: Path) -> tuple[Parse, Mutator]:
    from rarrl_nodes.params import check_file

    seed = "/**:\n  ros__parameters:\n    orchestrator.policy: never\n    a: {b: [1, 2]}\n"
    seed += "node:\n  ros__parameters: {x: 1}\n"
    return at(place / "p.yaml", check_file), yaml_of([seed])


# What programs of ours write


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


# Data sets and logs of others


@target("ALFRED, compact")
def _alfred(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.alfred import HOUSEHOLD_TASKS, read_alfred

    logging.disable(logging.CRITICAL)
    lines = [json.loads(line) for line in HOUSEHOLD_TASKS.read_text().splitlines()[:3]]
    return at(place / "alfred_train.jsonl", read_alfred), json_of([lines], lines=True)


@target("ALFRED, traj_data.json")
def _trajectory(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.alfred import read_alfred

    logging.disable(logging.CRITICAL)
    folder = place / "train" / "task" / "trial"
    folder.mkdir(parents=True)
    low = [{"high_idx": 0}, {"high_idx": 1}]
    high = [
        {"discrete_action": {"action": "GotoLocation", "args": ["desk"]}, "high_idx": 0},
        {"discrete_action": {"action": "PickupObject", "args": ["mug"]}, "high_idx": 1},
    ]
    seed = {"plan": {"high_pddl": high, "low_actions": low}, "scene": {"floor_plan": "FloorPlan1", "scene_num": 1}}
    seed |= {"task_type": "pick_and_place_simple", "task_id": "trial_1", "pddl_params": {"object_target": "Mug"}}
    seed |= {"turk_annotations": {"anns": [{"task_desc": "take it", "high_descs": ["go", "take"]}]}}
    return at(folder / "traj_data.json", lambda path: read_alfred(place, "train")), json_of([seed])


@target("ALFRED's statistics", runs=COSTLY)
def _statistics(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.alfred import STATISTICS_PATH, load_statistics

    seed = document(STATISTICS_PATH)
    seed["sequences"] = {"pick_and_place_simple": {"GotoLocation PickupObject": 3}}
    seed["steps"] = {"GotoLocation": {"3": 3}, "PickupObject": {"1": 3}}
    seed["header"]["plans"] = 3
    return at(place / "s.json", load_statistics), json_of([seed])


@target("ALFWorld, compact")
def _alfworld(place: Path) -> tuple[Parse, Mutator]:
    from rarrl_sim_envs.alfworld.games import read_games

    line = {"task": "pick_and_place_simple-Mug-None-Desk-1", "trial": "t", "goal": "Your task is to: put mug on desk."}
    line |= {"pddl_problem": "(define (:init (a b)) (:goal (a b)))", "walkthrough": ["look"], "solvable": True}
    return at(place / "alfworld_train.jsonl", read_games), json_of([[line, line]], lines=True)


@target("ALFWorld, game.tw-pddl")
def _game(place: Path) -> tuple[Parse, Mutator]:
    from rarrl_sim_envs.alfworld.games import read_games

    folder = place / "pick_and_place_simple-Mug-None-Desk-1" / "trial_1"
    folder.mkdir(parents=True)
    seed = {"grammar": '{"rhs": "Your task is to: put a mug in desk."}', "pddl_problem": "(:init) (:goal)"}
    return at(folder / "game.tw-pddl", read_games), json_of([seed | {"walkthrough": ["look"], "solvable": True}])


@target("ALFWorld's PDDL, and a game of it", runs=COSTLY)
def _pddl(place: Path) -> tuple[Parse, Mutator]:
    from alfworld_fixtures import a_game

    from rarrl_sim_envs.alfworld.games import Game
    from rarrl_sim_envs.alfworld.twin import Twin

    home = {"Desk_1": ("Mug",), "Fridge_1": ("Apple",)}
    made = a_game(home=home)
    seeds = [a_game(kind, home=home).problem.encode() for kind in ("pick_and_place_simple", "pick_two_obj_and_place")]
    words = (b"(", b")", b" ", b"?o", b"and", b"exists", b"not", b"=", b"(= ?o)", b";", b"\n", b"(:goal", b"(:init")

    def parse(data: bytes) -> object:
        twin = Twin(Game(made.task, made.trial, made.goal, data.decode("utf-8", "replace")))
        for command in ("look", "go to desk 1", "take mug 1 from desk 1", "inventory"):
            twin.step(command)
        return twin.won

    return parse, bytes_of(seeds, words)


@target("request log, JSON", runs=COSTLY)
def _request_log(place: Path) -> tuple[Parse, Mutator]:
    from rarrl_learning.latency.import_logs import import_log

    logging.disable(logging.CRITICAL)
    flat = {"provider": "p", "size": "s", "ttft_s": 0.3, "e2e_s": 1.0, "out_tokens": 20, "error_code": None}
    vllm = {"backend": "vllm", "model_id": "m", "ttfts": [0.1, 0.2], "itls": [[0.01], [0.02]], "output_lens": [2, 2]}
    vllm |= {"input_lens": [5, 5], "errors": ["", ""]}
    metric = {"value": 10.0, "unit": "ms"}
    metrics = {"time_to_first_token": metric, "request_latency": {"value": 1.0, "unit": "s"}}
    metrics |= {"output_sequence_length": {"value": 3, "unit": "tokens"}}
    aiperf = {"metadata": {"benchmark_phase": "profiling"}, "metrics": metrics, "error": None}
    return at(place / "log.json", import_log), json_of([[flat, flat], vllm, [aiperf]])


@target("request log, CSV", runs=COSTLY)
def _csv(place: Path) -> tuple[Parse, Mutator]:
    from rarrl_learning.latency.import_logs import import_log

    logging.disable(logging.CRITICAL)
    seed = (
        b"provider,size,ttft_ms,e2e_s,in_tokens,out_tokens,error_code,status\np,s,300,1.5,550,20,,200\np,s,1,2,3,4,,\n"
    )
    other = b"vendor;ttft_s;e2e_s;out_tokens\np;0,3;1,234;20\np;0,4;1.5;20\n"
    words = (b",", b";", b'"', b"\n", b"\r", b"\x00", b"1e999", b"nan", b"-", b"1.234,5", b"\xff", b"9" * 400, b"\t")
    return at(place / "log.csv", import_log), bytes_of([seed, other], words)


# Weights


def _mlp() -> tuple[bytes, bytes]:
    """A small learned policy, and one with a value head."""
    from safetensors.numpy import save

    from rarrl.orchestrator.features import FEATURE_NAMES

    width = len(FEATURE_NAMES)
    tensors = {"hidden": np.zeros(width, np.uint8), "allowed": np.ones(5, np.uint8)}
    tensors |= {"layer0.weight": np.zeros((5, width), np.float32), "layer0.bias": np.zeros(5, np.float32)}
    about = {"features": json.dumps(FEATURE_NAMES), "name": "small"}
    value = {"value0.weight": np.zeros((1, width), np.float32), "value0.bias": np.zeros(1, np.float32)}
    return save(tensors, about), save(tensors | value, about)


@target("orchestrator's weights", native=True)
def _learned(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.orchestrator.learned import load_learned

    return at(place / "policy.safetensors", load_learned), safetensors_of(_mlp())


@target("orchestrator's card")
def _learned_card(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.files import sha256
    from rarrl.orchestrator.learned import load_learned

    data = _mlp()[0]
    (place / "policy.safetensors").write_bytes(data)
    seed = {"files": {"policy.safetensors": sha256(data)}, "steps": 10}
    return at(place / "card.json", lambda path: load_learned(path.parent)), json_of([seed])


def _policy_folder(place: Path) -> tuple[Any, bytes, dict[str, Any]]:
    """A tiny policy's spec, its outer weights, and its card."""
    from policy_fixtures import tiny_spec
    from safetensors.numpy import save

    from rarrl.policy.serve import OUTER, TYPES, outer_shapes

    spec = tiny_spec()
    outer = save({n: np.zeros(s, np.float32) for n, s in outer_shapes(spec).items()}, {TYPES: "{}"})
    return spec, outer, {"spec": spec.model_dump(mode="json"), "files": {OUTER: "0" * 64}}


@target("policy's card", runs=COSTLY)
def _policy_card(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.policy.serve import load_card, outer_shapes

    def read(path: Path) -> object:
        spec, _ = load_card(path.parent)
        return spec.llama, outer_shapes(spec)

    return at(place / "card.json", read), json_of([_policy_folder(place)[2]])


@target("policy's weights", native=True, runs=DEAR)
def _outer(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.policy.serve import OUTER, load_outer

    spec, outer, _ = _policy_folder(place)
    return at(place / OUTER, lambda path: load_outer(path.parent, spec, {})), safetensors_of([outer])


@target("policy's weights, types", native=True, runs=DEAR)
def _types(place: Path) -> tuple[Parse, Mutator]:
    from safetensors.numpy import load, save

    from rarrl.llama import ggml
    from rarrl.policy.serve import OUTER, TYPES, load_outer

    spec, outer, _ = _policy_folder(place)
    arrays = load(outer)
    arrays["head_out.weight"] = np.zeros((len(arrays["head_out.weight"]), ggml.row_bytes("Q8_0", spec.width)), np.uint8)

    def read(data: bytes) -> object:
        (place / OUTER).write_bytes(save(arrays, {TYPES: data.decode("utf-8", "replace")}))
        return load_outer(place, spec, {})

    return read, json_of([{"head_out.weight": "Q8_0"}])


@target("policy's preset")
def _preset(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.policy.preset import FOLDER, load_preset

    (place / FOLDER).mkdir()
    seed = {"preset": {"patches": 8, "layers": 2, "gguf": "small.gguf"}, "how": "by hand"}
    return at(place / FOLDER / "fast.json", lambda path: load_preset(place, "fast")), json_of([seed])


@target("policy's relevance", native=True)
def _relevance(place: Path) -> tuple[Parse, Mutator]:
    from policy_fixtures import tiny_spec
    from safetensors.numpy import save

    from rarrl.policy.relevance import FILE, load_relevance, relevance_shapes

    spec = tiny_spec()
    seed = save({name: np.zeros(shape, np.float32) for name, shape in relevance_shapes(spec).items()})
    return at(place / FILE, lambda path: load_relevance(place, spec)), safetensors_of([seed])


@target("OpenVLA's card and statistics")
def _openvla(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.policy.openvla import OpenVlaCard, Robot, RobotCard, load_scales
    from rarrl.strict_json import read_json, validated

    robot = Robot(control_hz=5.0)
    n = len(robot.action_names)
    part = {"q01": [-1.0] * n, "q99": [1.0] * n, "mask": [True] * n}
    card = {"gguf": "llama.gguf", "dataset": None, "robot": {"control_hz": 5.0, "cameras": ["image"]}}

    def read(path: Path) -> object:
        value = read_json(path, "policy")
        if isinstance(value, dict) and "robot" in value:
            return validated(OpenVlaCard, value, "policy", str(path), {"robot": RobotCard})
        action, _ = load_scales(path, robot)
        assert np.isfinite(action.low).all() and np.isfinite(action.high).all(), "a scale that is not finite"
        return action

    return at(place / "f.json", read), json_of(
        [card, {"bridge": {"action": part}}, {"norm_stats": {"a": {"action": part}}}]
    )


@target("OpenVLA's weights", native=True, runs=COSTLY)
def _openvla_weights(place: Path) -> tuple[Parse, Mutator]:
    from safetensors.numpy import save

    from rarrl.policy.openvla import Robot, load_weights, weight_shapes

    robot = Robot(control_hz=5.0)
    found: dict[str, tuple[int, ...]] = {"projector.fc1.weight": (4, 6)}
    shapes = weight_shapes(found, 8, robot)
    seed = save({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    return at(place / "w.safetensors", lambda path: load_weights(path, 8, robot)), safetensors_of([seed])


@target("detector's network", native=True)
def _confidence(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.perception.confidence import SHIPPED, read_confidence

    return at(place / "trust.safetensors", read_confidence), safetensors_of([SHIPPED.read_bytes()])


@target("goal reader's weights", native=True, runs=DEAR)
def _goal_reader(place: Path) -> tuple[Parse, Mutator]:
    from safetensors.numpy import load, save

    from rarrl.reasoner.goal_reader import WEIGHTS, load_goal_reader

    data = WEIGHTS.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tensors = {name: array[:64] if array.shape[0] > 5000 else array for name, array in load(data).items()}
    return at(place / "g.safetensors", load_goal_reader), safetensors_of([save(tensors, header["__metadata__"]), data])


@target("calibration of a quantizer", runs=COSTLY, native=True)
def _quantizer(place: Path) -> tuple[Parse, Mutator]:
    from safetensors.numpy import save

    from rarrl_learning.quantize.calibration import FILE, load_calibration

    arrays = {"inputs": np.zeros((2, 4, 8), np.float16), "targets": np.zeros((2, 1, 3), np.float32)}
    arrays |= {"head.0.weight": np.zeros((3, 16), np.float32), "head.0.bias": np.zeros(3, np.float32)}
    facts = {"blocks": [1, 2, 1], "first_action": 2, "activation": "relu"}
    seed = save(arrays, {"calibration": json.dumps(facts)})
    return at(place / FILE, lambda path: load_calibration(path.parent)), safetensors_of([seed])


@target("demonstrations", native=True, needs=("cv2",), runs=COSTLY)
def _demonstrations(place: Path) -> tuple[Parse, Mutator]:
    from policy_fixtures import ROBOT, TASKS, frames_of

    from rarrl_learning.policy.demonstrations import load_demonstrations, write_shard

    path = place / "a.safetensors"
    write_shard(path, ROBOT, TASKS[0], frames_of(TASKS[0], 2, 0), {})
    seed = path.read_bytes()
    return at(path, lambda found: load_demonstrations([place])), safetensors_of([seed])


@target("GGUF", native=True, needs=("gguf",), runs=DEAR)
def _gguf(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.llama.gguf import read_gguf

    def read(path: Path) -> object:
        found = read_gguf(path)
        return [found.values(name) for name in found.tensors]

    return at(place / "m.gguf", read), gguf_of([small_gguf(place / "seed.gguf")])


def small_gguf(path: Path) -> tuple[bytes, int]:
    """A Llama of one layer, as small as can be, and the bytes of its head."""
    from rarrl.llama.gguf import read_gguf, write_llama
    from rarrl.llama.shape import LlamaShape

    shape = LlamaShape(layers=1, width=32, heads=2, kv_heads=1, ffn=32, context=16)
    weights = {n: np.full(size, 0.01, np.float32) for n, size in shape.tensors().items() if "token_embd" not in n}
    write_llama(path, shape, weights)
    data = path.read_bytes()
    body = sum(tensor.data.nbytes for tensor in read_gguf(path).tensors.values())
    return data, len(data) - body


# Messages


@target("policy server's observation", native=True, needs=("msgpack",))
def _observation(place: Path) -> tuple[Parse, Mutator]:
    import msgpack
    from policy_fixtures import tiny_spec

    from rarrl.policy.server import _pack, observation_of, unpack

    spec = tiny_spec(image_size=32)
    seed = {"observation/image/top": np.zeros((32, 32, 3), np.uint8), "observation/state": np.zeros(2, np.float32)}
    whole = _pack(seed | {"prompt": "go left"})
    text = json_of([{"prompt": "go", "observation/state": [1, 2], "a": {"b": {"__ndarray__": True, "shape": [1]}}}])

    def mutate(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return damaged(whole, rng)
        try:
            return msgpack.packb(json.loads(text(rng)))
        except (ValueError, RecursionError, OverflowError):
            return damaged(whole[:200], rng)

    return lambda data: observation_of(unpack(data), spec, 0.0), mutate


def _values_of(seed: dict[str, object]) -> Mutator:
    """Damages key-value texts as they stand in a message."""
    texts = {key: _text_of(value) for key, value in seed.items()}
    odd = ("", "none", "nan", "-1", "1e9", "1" * 50, "true", "{", "[]", '[["a"]]', "a\nb", "\x00", "1e999", "é" * 9000)
    inner = ('{"a": {"b": NaN}}', '{"a": {"b": ' + "9" * 400 + "}}", '{"a": {"b": 1e999}}', '{"a": [1]}', "[" * 3000)

    def mutate(rng: random.Random) -> bytes:
        out = dict(texts)
        for _ in range(rng.choice((1, 1, 2))):
            key = rng.choice(list(out))
            way = rng.randrange(5)
            if way == 0:
                out.pop(key, None)
            elif way == 1:
                out[key] = rng.choice(odd)
            elif way == 2:
                out[key] = rng.choice(inner)
            elif way == 3:
                out[key] = out[rng.choice(list(out))]
            else:
                out[key] = damaged(out[key].encode(), rng, most=1).decode("utf-8", "replace")
        return json.dumps(out).encode()

    return mutate


def _text_of(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _message(read: Callable[[dict[str, str]], object]) -> Parse:
    return lambda data: read(json.loads(data))


_TOLD = {"errors": (ValueError,), "needs": ("rclpy",)}


@target("topic state", **_TOLD)
def _state(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import counting_ids, toy

    from rarrl.executive.executive import TaskExecutive
    from rarrl_nodes.conversions import asked_from_values, report_from_values, values_from_report

    made = TaskExecutive(toy(), new_id=counting_ids())
    made.instruct("put the cup on the table", 0.0)
    seed = values_from_report(made.report)
    return _message(lambda values: (report_from_values(values), asked_from_values(values))), _values_of(seed)


@target("topic decision", **_TOLD)
def _decision(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.types import Action, Decision
    from rarrl_nodes.conversions import DecisionMessage, decision_from_values, values_from_decision

    made = DecisionMessage("run", 1, 0, Decision(1, Action.PLANNER_1, 5.0, "why"), 10.0, 100.0)
    return _message(decision_from_values), _values_of(values_from_decision(made))


@target("topic answer", **_TOLD)
def _answer(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.reasoner.base import Answer
    from rarrl.reasoner.plan import Plan
    from rarrl.types import CallStatus, Role
    from rarrl_nodes.conversions import AnswerMessage, answer_from_values, values_from_answer

    plan = Plan.from_rows([["pick", "cup"]])
    answer = Answer(1, Role.PLANNER, 1, CallStatus.OK, 1.0, "x", 5, 5, plan=plan, where={"cup": (("shelf", 0.5),)})

    def read(values: dict[str, str]) -> object:
        found = answer_from_values(values)
        numbers = [n for shares in found.answer.where.values() for _, n in shares]
        assert all(0.0 <= n <= 1.0 for n in numbers), "a share that is none"
        return found

    return _message(read), _values_of(values_from_answer(AnswerMessage("run", 1, answer)))


@target("camera image (bytes)", errors=(ValueError, InputError), native=True)
def _image(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.perception.camera_input import ENCODINGS, image_from_bytes

    names = [*ENCODINGS, "rgb8", "", "jpeg", "32FC1", "a\nb"]

    def parse(data: bytes) -> object:
        which, width, height, step, big = struct.unpack("<HIIIB", data[:15])
        return image_from_bytes(memoryview(data[15:]), names[which % len(names)], width, height, step, bool(big & 1))

    def mutate(rng: random.Random) -> bytes:
        which = rng.randrange(len(names))
        layout = ENCODINGS.get(names[which])
        row = 64 * (layout.pixel if layout else 1)
        width, height, step = (rng.choice((n, n, n, n, n + 1, 0, 2**16, 2**31)) for n in (64, 64, row))
        data = struct.pack("<HIIIB", which, width, height, step, rng.randrange(2)) + bytes(row * 64)
        return damaged(data, rng).ljust(15, b"\0") if rng.random() < 0.5 else data

    return parse, mutate


@target("laser scan (numbers)", errors=(ValueError, InputError))
def _scan(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.range_scan import RangeScan

    def parse(data: bytes) -> object:
        head = np.frombuffer(data[:40], np.float64)
        ranges = np.frombuffer(data[40 : 40 + (len(data) - 40) // 4 * 4], np.float32)
        scan = RangeScan.from_readings(
            float(head[0]), float(head[1]), float(head[2]), ranges, float(head[3]), float(head[4])
        )
        assert not np.isnan(scan.ranges).any(), "a range that is no number"
        return scan

    seed = np.array([-1.0, 1.0, 0.1, 0.05, 6.0]).tobytes() + np.full(21, 2.0, np.float32).tobytes()
    return parse, lambda rng: damaged(seed, rng).ljust(40, b"\0")


# Answers of language models


@target("chat server's response", runs=COSTLY)
def _reply(place: Path) -> tuple[Parse, Mutator]:
    from chat_servers import PLAN, delta, stream, whole

    from rarrl.config import LanguageModelConfig
    from rarrl.reasoner.base import Answer, Request
    from rarrl.reasoner.openai import OpenAiReasoner
    from rarrl.types import Role

    class Socket:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def makefile(self, *_: object) -> io.BytesIO:
            return io.BytesIO(self.data)

    settings = LanguageModelConfig(max_new_tokens_1=16, thinking_tokens=16)
    reasoner = OpenAiReasoner("http://127.0.0.1:9/v1", "m", settings)

    class Once:
        data = b""

        def post(
            self, path: str, body: bytes, headers: Any, deadline: float, read: Any, withdrawal: Any = None
        ) -> None:
            response = http.client.HTTPResponse(Socket(self.data))  # type: ignore[arg-type]
            response.begin()
            read(response)

        def close(self) -> None:
            pass

    once = reasoner._http = Once()  # type: ignore[assignment]

    def parse(data: bytes) -> object:
        once.data = data
        reasoner._dialect = type(reasoner._dialect)()
        answer = reasoner.ask(Request(3, Role.PLANNER, 1, "put a mug on the desk", 0.2))
        assert isinstance(answer, Answer)
        assert answer.why.isprintable(), f"why: {answer.why!r}"
        return answer

    logprobs = {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": -1.0}]}]}
    bodies = [whole(PLAN, **{"prompt_tokens": 5}).body, stream(PLAN[:20], delta(PLAN[20:], logprobs=logprobs)).body]
    bodies.append(json.dumps({"error": {"message": "no", "code": 400, "param": "seed"}}).encode())
    values = [json.loads(bodies[0]), json.loads(bodies[2]), {"detail": [{"loc": ["body", "seed"], "msg": "extra"}]}]
    tree = json_of(values)
    words = (
        b"data: ",
        b"\n\n",
        b"\r",
        b"[DONE]",
        b"event: x\n",
        b"</think>",
        b"<think>",
        b"{",
        b"\xff",
        b"null",
        b">" * 50,
    )

    def mutate(rng: random.Random) -> bytes:
        body = tree(rng) if rng.random() < 0.5 else damaged(rng.choice(bodies), rng, words)
        if rng.random() < 0.3:
            body = b"data: " + body + b"\n\ndata: [DONE]\n\n"
        status = rng.choice((200, 200, 200, 400, 404, 422, 301, 999))
        kind = rng.choice((b"application/json", b"text/event-stream", b"text/html", b""))
        head = b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
        return damaged(head, rng) + body if rng.random() < 0.2 else head + body

    return parse, mutate


@target("model's text")
def _text(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import toy

    from rarrl.reasoner.answer_text import read_answer
    from rarrl.types import Role

    domain = toy()
    seeds = [
        '{"plan":[["PickupObject","mug"],["PutObject","mug","desk"]]}',
        '<think>hm {"plan": []} </think> Sure:\n```json\n{"plan": [["put", "cup", "table"]]}\n```',
        '{"ok": false, "fault": "wrong_object"}',
    ]
    words = (
        "{",
        "}",
        '{"plan":',
        "[" * 400,
        "<think>",
        "</think>",
        "NaN",
        '"',
        "\\",
        "\x00",
        "1" * 5000,
        '{"ok": true}',
    )

    def parse(data: bytes) -> object:
        text = data.decode("utf-8", "replace")
        role = Role.VERIFIER if len(data) % 3 == 0 else Role.PLANNER
        return read_answer(text, role, domain=domain if len(data) % 2 else None)

    return parse, bytes_of([seed.encode() for seed in seeds], [word.encode() for word in words])


TARGETS[-1] = Target("model's text", TARGETS[-1].start, errors=(ValueError,))
