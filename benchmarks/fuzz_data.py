"""Parsers of data sets, request logs and bags of others."""

from __future__ import annotations

import io
import json
import logging
import struct
from pathlib import Path

from fuzz_mutators import Mutator, bytes_of, json_of
from fuzz_target import COSTLY, DEAR, Parse, at, document, target


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


@target("bag (MCAP)", needs=("mcap", "mcap_ros2"), runs=DEAR)
def _bag(place: Path) -> tuple[Parse, Mutator]:
    from mcap.writer import CompressionType, Writer

    from rarrl.bag.definitions import DEFINITIONS
    from rarrl.bag.reader import Bag

    kind = "geometry_msgs/msg/Twist"
    seeds = []
    for compression in (CompressionType.NONE, CompressionType.NONE, CompressionType.ZSTD):
        stream = io.BytesIO()
        writer = Writer(stream, chunk_size=200, compression=compression)
        writer.start("ros2", "by hand")
        schema = writer.register_schema(kind, "ros2msg", DEFINITIONS[kind].encode())
        channel = writer.register_channel("cmd_vel", "cdr", schema, {"offered_qos_profiles": ""})
        for number in range(5):
            writer.add_message(channel, number, b"\0\1\0\0" + struct.pack("<6d", *[0.5] * 6), number, number)
        writer.add_attachment(0, 4, "a.json", "application/json", b"{}")
        writer.finish()
        seeds.append(stream.getvalue())

    def read(path: Path) -> object:
        bag = Bag(path)
        return [*bag.messages(tuple(bag.topics))]

    return at(place / "a.mcap", read), bytes_of(seeds)
