"""What the fuzzer found once: each input in the smallest form, and what is said of it now."""

import io
import itertools
import json
import logging
import os
import struct
import time
import zipfile

import numpy as np
import pytest
from policy_fixtures import ROBOT, TASKS, frames_of

from rarrl.errors import InputError, RarrlError, plain_line
from rarrl.files import read_file, read_npz
from rarrl.policy.openvla_convert import Stored, llama_shape, stored_tensors, tokenizer
from rarrl.reasoner.refusal import refusal
from rarrl.strict_json import MAX_JSON_VALUES, parse_json
from rarrl.strict_yaml import parse_yaml
from rarrl_learning.policy.demonstrations import load_demonstrations, write_shard


def refused(read, *given):
    """The message, which is a line."""
    with pytest.raises(InputError) as error:
        read(*given)
    assert str(error.value).isprintable() and len(str(error.value)) <= 2000
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1e999", "too large; numbers must be finite"),
        ("-1e999", "too large; numbers must be finite"),
        ("9" * 400, "is too large (allowed: 64 bits)"),
        ("9223372036854775808", "is too large (allowed: 64 bits)"),
        ('"\\ud800"', "half of a surrogate pair"),
        ('{"\\udc00": 1}', "half of a surrogate pair"),
        ("[" * 100_000, "nested too deeply"),
        (f"[{'[],' * MAX_JSON_VALUES}[]]", "values, at most"),
    ],
)
def test_json(text, words):
    assert words in refused(parse_json, text.encode(), "file", "a.json")


def test_json_keeps_what_is_in_range():
    text = b'[9223372036854775807, -9223372036854775808, 1e308, "\\ud83d\\ude00", 1e-999]'
    assert parse_json(text, "file", "a.json") == [2**63 - 1, -(2**63), 1e308, "\U0001f600", 0.0]


@pytest.mark.parametrize(
    "text", ["a: !!set 3", "a: !!omap x", "!!map x", "a: !!binary x", "!b a", "!!python/name:os x"]
)
def test_yaml_tags(text):
    assert "are refused; write the value alone" in refused(parse_yaml, text, "file", "a.yaml")


def test_yaml_half_pairs():
    assert "half of a surrogate pair" in refused(parse_yaml, 'a: "\\ud800"', "file", "a.yaml")
    assert "half of a surrogate pair" in refused(parse_yaml, '"\\udc00": 1', "file", "a.yaml")


def test_a_file_s_own_words_neither_break_a_line_nor_flood_it():
    assert str(RarrlError("key a\nb\x1b[2J\u202e")) == "key a b\\x1b[2J\\u202e"
    long = str(InputError("begins " + "x" * 10**7 + " ends"))
    assert long.startswith("begins ") and long.endswith(" ends") and len(long) <= 2000
    assert plain_line("Grüße, 世界") == "Grüße, 世界"


def test_what_is_no_regular_file_is_not_read(tmp_path):
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name in ("zero", "pipe"):
        assert "not a regular file" in refused(read_file, tmp_path / name, "file")
    (tmp_path / "large").write_bytes(b"x" * 11)
    assert "has 11 bytes, at most 10" in refused(read_file, tmp_path / "large", "file", 10)


def test_a_zip_bomb_is_refused_unread(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(3_000_000))
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    assert "unpacks to 3000000 bytes" in refused(read_npz, tmp_path / "a.npz", "file", 1_000_000)
    np.savez(tmp_path / "b.npz", a=np.array([{}], dtype=object))
    assert "not a whole .npz file" in refused(read_npz, tmp_path / "b.npz", "file")


def test_aliases_that_multiply_end_before_they_do(tmp_path):
    pytest.importorskip("rclpy")
    from rarrl_nodes.params import check_file

    names = "abcdefghijklmnopqrst"
    bomb = "a: &a {x: 1}\n" + "".join(
        f"{name}: &{name} {{{', '.join(f'k{n}: *{before}' for n in range(9))}}}\n"
        for before, name in itertools.pairwise(names)
    )
    (tmp_path / "p.yaml").write_text(bomb)
    assert check_file(tmp_path / "p.yaml") is None  # ROS says no to aliases; before, this took 9 ** 19 looks


def test_the_thousand_and_first_damaged_file_of_counts_is_set_aside_too(tmp_path):
    from toy_robot import toy

    from rarrl.orchestrator.skill_statistics import MAX_DAMAGED, SkillStatistics, priors_of

    for number in range(MAX_DAMAGED + 3):
        (tmp_path / "counts.json").write_text(f"damaged {number}")
        SkillStatistics(priors_of(toy().skills), tmp_path / "counts.json")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == MAX_DAMAGED
    assert (tmp_path / f"counts.damaged{MAX_DAMAGED - 1}.json").read_text() == f"damaged {MAX_DAMAGED + 2}"


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"conditions": 3}', '{"conditions": {"binding": {"a": {}}}}', "{", "[" * 9999]
)
def test_tuned_rules(tmp_path, text):
    from rarrl.orchestrator.registry import tuned_parameters

    (tmp_path / "rules.json").write_text(text)
    assert "tuned rules" in refused(tuned_parameters, "binding", tmp_path / "rules.json")


@pytest.mark.parametrize(
    "change",
    [
        {"high_pddl": [{"discrete_action": {"action": "GotoLocation", "args": []}, "high_idx": []}]},
        {"high_pddl": [{"discrete_action": {"action": "GotoLocation", "args": []}, "high_idx": {}}]},
        {"turk_annotations": {"anns": 3}},
    ],
)
def test_a_trajectory_with_values_of_another_type_is_left_out_and_told(tmp_path, change):
    from rarrl.alfred import read_alfred

    logging.disable(logging.CRITICAL)
    folder = tmp_path / "train" / "task" / "trial"
    folder.mkdir(parents=True)
    high = [{"discrete_action": {"action": "GotoLocation", "args": ["desk"]}}]
    plan = {"high_pddl": change.get("high_pddl", high), "low_actions": [{"high_idx": 0}]}
    value = {"plan": plan, "scene": {"floor_plan": "F"}, "task_type": "pick_and_place_simple", "task_id": "t"}
    (folder / "traj_data.json").write_text(json.dumps(value | {k: v for k, v in change.items() if k != "high_pddl"}))
    try:
        assert read_alfred(tmp_path, "train").plans[0].annotations == ()
    except InputError as error:
        assert "high_idx" in str(error)


def test_bad_entries_are_not_kept_without_end(tmp_path, monkeypatch):
    from rarrl import alfred

    monkeypatch.setattr(alfred, "MAX_SKIPPED", 10)
    (tmp_path / "alfred_train.jsonl").write_text("x\n" * 12)
    assert "over 10 bad entries" in refused(alfred.read_alfred, tmp_path / "alfred_train.jsonl")


def test_a_goal_that_would_take_for_ever_is_refused():
    from rarrl_sim_envs.alfworld.pddl import holds

    facts = {"p": frozenset((f"a{i}", f"a{j}") for i in range(30) for j in range(30))}
    chain = ["and", *(["p", f"?v{i}", f"?w{i}"] for i in range(12)), ["p", "?v0", "nowhere"]]
    with pytest.raises(ValueError, match="takes more than"):
        holds(chain, facts)
    with pytest.raises(ValueError, match="more than 40 conditions"):
        holds(["and", *[["p", "a", "b"]] * 5000], facts)
    with pytest.raises(ValueError, match="= of two names"):
        holds(["=", "?a"], facts)


def test_a_policy_s_metadata_of_another_type(tmp_path):
    from policy_fixtures import tiny_spec
    from safetensors.numpy import save

    from rarrl.policy.serve import OUTER, load_outer, outer_shapes

    spec = tiny_spec()
    arrays = {name: np.zeros(shape, np.float32) for name, shape in outer_shapes(spec).items()}
    for types in ("[]", "3", '"a"', '{"word.weight": 3}'):
        (tmp_path / OUTER).write_bytes(save(arrays, {"types": types}))
        assert "must map tensors to types" in refused(load_outer, tmp_path, spec, {})


def test_a_network_of_one_number(tmp_path):
    from safetensors.numpy import save

    from rarrl.perception.confidence import read_confidence

    (tmp_path / "a.safetensors").write_bytes(save({"hidden": np.array(1, np.float32), "out": np.zeros(1, np.float32)}))
    assert "needs hidden" in refused(read_confidence, tmp_path / "a.safetensors")


def test_a_goal_reader_with_nan(tmp_path):
    from safetensors.numpy import load, save

    from rarrl.reasoner.goal_reader import WEIGHTS, load_goal_reader

    data = WEIGHTS.read_bytes()
    about = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    arrays = {name: array.copy() for name, array in load(data).items()}
    arrays["scale"][0] = np.nan
    (tmp_path / "a.safetensors").write_bytes(save(arrays, about))
    assert "scale must be finite" in refused(load_goal_reader, tmp_path / "a.safetensors")


@pytest.mark.parametrize("share", ["NaN", "9" * 400, '"a"', "null", "[]"])
def test_a_share_that_is_none_in_an_answer(share):
    pytest.importorskip("rclpy")
    from rarrl_nodes.conversions import _where

    with pytest.raises(ValueError, match="key where"):
        _where({"where": f'{{"cup": {{"shelf": {share}}}}}'})
    assert _where({"where": '{"cup": {"shelf": 1e999}}'}) == {"cup": (("shelf", 1.0),)}


def test_answers_in_a_damaged_archive_and_a_question_of_lists(tmp_path):
    from rarrl_learning.recorded_answers import AnswerFile

    (tmp_path / "a.json.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff")
    assert "cannot be unpacked" in refused(AnswerFile, tmp_path / "a.json.gz")
    document = {"model": "m", "robot": "r", "homes": [[["cup"]]], "answers": [{"goal": "g", "level": 1, "home": 0}]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert "is none" in refused(AnswerFile, tmp_path / "a.json")


def test_a_mission_s_seed_names_no_other_folder(tmp_path):
    from dataclasses import fields

    from rarrl_learning.household.report.page import _FORMAT, read_missions
    from rarrl_learning.household.report.trace import MissionResult

    result = {field.name: 0 for field in fields(MissionResult)} | {"policy": "p", "seed": "../../outside"}
    document = {"format": _FORMAT, "missions": [{"result": result, "thoughts": []}]}
    (tmp_path / "missions.json").write_text(json.dumps(document))
    assert "is none of ours" in refused(read_missions, tmp_path)


def test_rows_of_a_profile_are_counted_before_they_become_objects(tmp_path, monkeypatch):
    from rarrl.latency import profile

    monkeypatch.setattr(profile, "MAX_RECORDS", 10)
    rows = {"columns": list(profile.COLUMNS), "rows": [[]] * 11}
    (tmp_path / "p.json").write_text(json.dumps({"schema_version": 1, "records": rows}))
    assert "11 rows (allowed: at most 10)" in refused(profile.load_profile, tmp_path / "p.json")


def test_a_log_s_names_are_printable(tmp_path):
    from rarrl_learning.latency.import_logs import import_log

    row = {"provider": "a\x1b[2J\ud800", "ttft_s": 0.3, "e2e_s": 1.0, "out_tokens": 20}
    (tmp_path / "log.json").write_text(json.dumps([row] * 60))
    assert import_log(tmp_path / "log.json").profile.header.model.isprintable()


def test_what_a_server_says_is_printable_in_the_answer():
    from rarrl.reasoner.base import Request
    from rarrl.reasoner.call import answered
    from rarrl.reasoner.language_model import CallFailedError
    from rarrl.types import CallStatus, Role

    class Session:
        started, tokens_in, tokens_out, tokens_thought, ttft_s, text = 0.0, 0, 0, 0, 0.0, ""

    def fails(request, session):
        raise CallFailedError(CallStatus.BACKEND_DOWN, "HTTP 500\x1b[2J\nall is well")

    answer = answered(Request(1, Role.PLANNER, 1, "go", 1.0), Session(), fails, "x")
    assert answer.why == "HTTP 500\\x1b[2J all is well"


def test_an_empty_buffer_is_no_archive(tmp_path):
    (tmp_path / "a.npz").write_bytes(io.BytesIO().getvalue())
    assert "not a whole .npz file (BadZipFile" in refused(read_npz, tmp_path / "a.npz", "file")


def test_a_model_s_own_signs_in_a_refused_step():
    from toy_robot import toy

    from rarrl.reasoner.answer_text import read_answer
    from rarrl.reasoner.base import BrokenRuleError
    from rarrl.types import Role

    with pytest.raises(BrokenRuleError) as error:
        read_answer('{"plan": [["put", "cu\x7fp"]]}', Role.PLANNER, domain=toy())
    assert str(error.value).isprintable() and "\\x7f" in str(error.value)


@pytest.mark.parametrize("page", [b"<script>" * 60_000, b"<style " * 60_000, b"<" * 500_000, b"<!-- " * 90_000])
def test_an_error_page_of_tags_without_end_is_read_in_one_pass(page):
    begun = time.thread_time()
    assert refusal(502, page).status == 502
    assert time.thread_time() - begun < 5.0  # it took minutes, in which no other thread of the process ran


def test_an_error_page_s_words_are_told_without_its_scripts():
    page = b"<html><style>p {}</style><SCRIPT>x < y</SCRIPT><p>502 <b>Bad</b> Gateway</p><script>never()"
    assert refusal(502, page).words.split() == ["502", "Bad", "Gateway"]


NAME = "language_model.model.embed_tokens.weight"


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000,
        f'{{"{NAME}": {{"dtype": "F32", "shape": [1e999], "data_offsets": [0, 16]}}}}',
        f'{{"{NAME}": {{"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]}}}}',
        f'{{"{NAME}": {{"dtype": "F32", "shape": [4], "data_offsets": [0.0, 16.0]}}}}',
        f'{{"{NAME}": {{"dtype": "F32", "shape": [4], "data_offsets": [true, 17]}}}}',
        f'{{"{NAME}": {{"dtype": "F32", "shape": [{"4, " * 40}4], "data_offsets": [0, 16]}}}}',
        f'{{"{NAME}": {{"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, "{NAME}": {{}}}}',
    ],
)
def test_a_checkpoint_s_header(tmp_path, header):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(64))
    assert "a.safetensors" in refused(stored_tensors, tmp_path)


def llama_of(path, **shapes):
    needed = ("embed_tokens", "layers.0.mlp.gate_proj", "layers.0.self_attn.k_proj")
    stored = {f"language_model.model.{name}.weight": Stored(path, "F32", (8, 4), 0) for name in needed}
    return stored | {f"language_model.model.{n}.weight": Stored(path, "F32", s, 0) for n, s in shapes.items()}


@pytest.mark.parametrize(
    ("shapes", "text", "words"),
    [
        ({"embed_tokens": (4,)}, {}, "sizes of no Llama"),
        ({"embed_tokens": (4, 0)}, {}, "sizes of no Llama"),
        ({}, {"num_attention_heads": "four"}, "sizes of no Llama"),
        ({}, {"num_attention_heads": [4]}, "sizes of no Llama"),
        ({}, {"max_position_embeddings": 1e308, "rope_theta": None}, "sizes of no Llama"),
        ({"layers.999.mlp.gate_proj": (8, 4)}, {}, "lacks a layer before layer 999"),
    ],
)
def test_a_checkpoint_of_no_llama(tmp_path, shapes, text, words):
    assert words in refused(llama_shape, tmp_path, llama_of(tmp_path, **shapes), text)


def test_a_tokenizer_whose_tokens_have_no_numbers(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{"model": {"vocab": {"a": 0, "b": "c"}}}')
    assert "no tokenizer" in refused(tokenizer, path, 300)


@pytest.mark.parametrize("side", [0, 4097, 32_000])
def test_a_picture_of_demonstrations_that_claims_gigabytes_is_not_unpacked(tmp_path, side):
    pytest.importorskip("cv2")
    path = tmp_path / "a.safetensors"
    write_shard(path, ROBOT, TASKS[0], frames_of(TASKS[0], 2, 0), {})
    data = path.read_bytes()
    at = data.index(b"IHDR") + 4
    path.write_bytes(data[:at] + struct.pack(">I", side) + data[at + 4 :])
    assert "no PNG of at most 4096 pixels a side" in refused(load_demonstrations, [tmp_path])
