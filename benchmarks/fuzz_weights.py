"""Parsers of weights and of the cards beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mutators import Mutator, gguf_of, json_of, safetensors_of
from fuzz_target import COSTLY, DEAR, Parse, at, target


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


@target("OpenVLA's checkpoint")
def _checkpoint(place: Path) -> tuple[Parse, Mutator]:
    from safetensors.numpy import save

    from rarrl.policy.openvla_convert import llama_shape, stored_tensors

    names = ("embed_tokens", "layers.0.mlp.gate_proj", "layers.0.self_attn.k_proj")
    seed = save({f"language_model.model.{name}.weight": np.zeros((4, 4), np.float32) for name in names})

    def read(path: Path) -> object:
        return llama_shape(path.parent, stored_tensors(path.parent), {})

    return at(place / "model.safetensors", read), safetensors_of([seed])


@target("checkpoint's tokenizer")
def _tokenizer(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.policy.openvla_convert import tokenizer

    seed = {"model": {"vocab": {f"t{i}": i for i in range(262)}}, "added_tokens": [{"id": 262, "content": "<PAD>"}]}
    return at(place / "tokenizer.json", lambda path: tokenizer(path, 300)), json_of([seed])


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
