"""Bad files, each offered to the reader that the nodes use: models, weights, pickles, settings, profiles, presets.

`accepted` is what was taken although it must be refused. `exceptions` counts whatever came out of a reader that is not
its documented error with a message of one printable line; that would end a node."""

from __future__ import annotations

import json
import random
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from rarrl.errors import MAX_MESSAGE, InputError

from .row import Trial

Offer = Callable[[Path, random.Random], Callable[[], object]]
"""Writes one bad input into an empty folder; gives what reads it."""


def refused(*offers: Offer) -> Callable[[int, int], list[Trial]]:
    """Offers in turn; each must end in one line."""

    def play(trials: int, seed: int) -> list[Trial]:
        found = []
        for number in range(trials):
            with tempfile.TemporaryDirectory() as place:
                offer = offers[number % len(offers)]
                found.append(_offered(offer(Path(place), random.Random(f"{seed} {number}")), place))
        return found

    return play


def _offered(read: Callable[[], object], place: str) -> Trial:
    start = time.monotonic()
    counts = {"accepted": 0, "exceptions": 0, "parent_crashes": 0}
    try:
        read()
        note = "accepted"
        counts["accepted"] = 1
    except InputError as error:
        note = str(error)
        whole = note.isprintable() and 0 < len(note) <= MAX_MESSAGE
        counts["exceptions"] = int(not whole)
    except Exception as error:
        note = f"{type(error).__name__}: {error}"
        counts["exceptions"] = 1
    note = note.replace(place, "DIR")[:200]
    return Trial(detect_s=time.monotonic() - start, unsafe=counts["accepted"], counts=counts, note=note)


def _cut(data: bytes, rng: random.Random, before: int) -> bytes:
    """Truncated somewhere in its first `before` bytes."""
    return data[: rng.randrange(min(before, len(data)))]


# M1: GGUF


def gguf(place: Path, rng: random.Random) -> Callable[[], object]:
    """A GGUF file that is cut, has wrong counts, or a NaN; llama.cpp would see what our reader takes, in a child."""
    from rarrl.llama.check import check_in_child
    from rarrl.llama.gguf import read_gguf, write_llama
    from rarrl.llama.shape import LlamaShape

    path = place / "model.gguf"
    shape = LlamaShape(layers=1, width=32, heads=2, kv_heads=1, ffn=32, context=16)
    values = {n: np.full(size, 0.01, np.float32) for n, size in shape.tensors().items() if "token_embd" not in n}
    write_llama(path, shape, values)
    data = path.read_bytes()
    head = len(data) - sum(tensor.data.nbytes for tensor in read_gguf(path).tensors.values())
    way = rng.randrange(3)
    if way == 0:
        path.write_bytes(_cut(data, rng, head))
    elif way == 1:  # magic, version, number of tensors, of keys
        at, width = rng.choice(((0, 4), (4, 4), (8, 8), (16, 8)))
        path.write_bytes(data[:at] + b"\xff" * width + data[at + width :])
    else:
        path.write_bytes(data[:-4] + struct.pack("<f", float("nan")))

    def read() -> None:
        found = read_gguf(path)  # our reader first: llama.cpp sees what it takes, and in a child
        for name in found.tensors:
            found.values(name)
        check_in_child(path)

    return read


# M2: safetensors


def weights(place: Path, rng: random.Random) -> Callable[[], object]:
    """The orchestrator's weights: NaN, other types or shapes, cut, a header of 2^40 bytes, too large."""
    from safetensors.numpy import save

    from rarrl.orchestrator.features import FEATURE_NAMES
    from rarrl.orchestrator.learned import MAX_BYTES, load_learned

    width = len(FEATURE_NAMES)
    tensors = {"hidden": np.zeros(width, np.uint8), "allowed": np.ones(5, np.uint8)}
    tensors |= {"layer0.weight": np.zeros((5, width), np.float32), "layer0.bias": np.zeros(5, np.float32)}
    about = {"features": json.dumps(FEATURE_NAMES), "name": "a"}
    path = place / "policy.safetensors"
    way = rng.randrange(6)
    if way == 0:
        tensors["layer0.weight"] = np.full((5, width), np.nan, np.float32)
    elif way == 1:
        tensors["layer0.bias"] = tensors["layer0.bias"].astype(np.float64)
    elif way == 2:
        tensors["layer0.weight"] = tensors["layer0.weight"].T.copy()
    data = save(tensors, about)
    if way == 3:
        data = struct.pack("<Q", 2**40) + data[8:]
    elif way == 4:
        data = _cut(data, rng, len(data))
    path.write_bytes(data)
    if way == 5:
        with path.open("r+b") as stream:
            stream.truncate(MAX_BYTES + 1)  # sparse
    return lambda: load_learned(path)


# M3: pickles


def pickled(place: Path, rng: random.Random) -> Callable[[], object]:
    """A pickle, or a zip with one, under any name."""
    from rarrl.orchestrator.learned import load_learned
    from rarrl.policy.serve import load_card
    from rarrl.reasoner.goal_reader import load_goal_reader

    proof = place / "exploded"
    data = f"cos\nmkdir\n(V{proof}\ntR.".encode()  # makes a folder where it is unpickled
    if rng.random() < 0.5:
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", data)
        data = buffer.getvalue()
    suffix = rng.choice((".zip", ".pt", ".pth", ".pkl", ".pickle", ".safetensors"))
    path = place / f"policy{suffix}"
    path.write_bytes(data)
    readers = (load_learned, load_goal_reader) if suffix in (".safetensors", ".pth") else (load_learned, load_card)
    reader: Callable[[Path], object] = rng.choice(readers)

    def read() -> object:
        try:
            return reader(path)
        finally:
            if proof.exists():
                raise AssertionError("a pickle was run")

    return read


# M4: profiles, settings, presets, skills


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(8)
)
"""Nine aliases of nine aliases, eight times over: 430 million texts, where aliases are followed."""
BAD_YAML = (
    "replay: {speed: -5.0}",
    "replay: {speed: .nan}",
    "replay: {speed: 1e999}",
    "replay: {speed: '5'}",
    "replay: {sped: 5.0}",
    "orchestrator: {time_budget_s: 1.0e+12}",
    "orchestrator: {time_budget_s: !!python/name:os.system ''}",
    "replay: {speed: 5.0, speed: 6.0}",
    BOMB,
    "[" * 5000,
    "a: \x1b[2J",
)
BAD_JSON = (
    '{"schema_version": 1e999}',
    '{"schema_version": NaN}',
    '{"schema_version": 1, "schema_version": 1}',
    '{"schema_version": ' + "9" * 400 + "}",
    "[" * 100_000,
    '{"header": {"name": "../../x"}}',
    '{"a\\nb": "\\u001b[2J"}',
    "\xff\xfe",
)


def settings(place: Path, rng: random.Random) -> Callable[[], object]:
    """Settings that are wrong, endless, or a bomb."""
    from rarrl.config import load_config

    path = place / "settings.yaml"
    path.write_text(rng.choice(BAD_YAML), "utf-8")
    return lambda: load_config(path)


def skills(place: Path, rng: random.Random) -> Callable[[], object]:
    """The same as skills or as a world."""
    from rarrl.skills.skill_set import load_skills
    from rarrl.skills.world import load_world

    path = place / "robot.yaml"
    path.write_text(rng.choice(BAD_YAML), "utf-8")
    load: Callable[[Path], object] = rng.choice((load_skills, load_world))
    return lambda: load(path)


def profile(place: Path, rng: random.Random) -> Callable[[], object]:
    """A latency profile that is none."""
    from rarrl.latency.profile import load_profile

    path = place / "profile.json"
    path.write_bytes(rng.choice(BAD_JSON).encode("latin-1"))
    return lambda: load_profile(path)


def outside(place: Path, rng: random.Random) -> Callable[[], object]:
    """A preset that names a file outside of its folder, by a path, a link, or a name in another folder."""
    from rarrl.policy.preset import FOLDER, load_preset

    (place / FOLDER).mkdir()
    name = rng.choice(("../../etc/passwd.gguf", "/etc/x.gguf", "a/b.gguf", "..gguf/..", "a\nb.gguf"))
    (place / FOLDER / "fast.json").write_text(json.dumps({"preset": {"gguf": name}}), "utf-8")
    asked = rng.choice(("fast", "../presets/fast", "../../etc/passwd"))
    return lambda: load_preset(place, asked)


def device(place: Path, rng: random.Random) -> Callable[[], object]:
    """A link to a device that never ends, in place of a file."""
    from rarrl.config import load_config
    from rarrl.latency.profile import load_profile
    from rarrl.orchestrator.learned import load_learned

    name, load = rng.choice((("a.yaml", load_config), ("a.json", load_profile), ("a.safetensors", load_learned)))
    path = place / str(name)
    path.symlink_to("/dev/zero")
    return lambda: load(path)
