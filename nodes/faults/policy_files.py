"""Damaged policy folders, offered to one running vla_policy_node: cut, flipped, with NaN weights, or a pickle.

The files' hashes in the card are made right again, unless the hash is the point: who wrote the file wrote the card.
Unsafe (`accepted`) is a folder that was configured in spite of its damage; `parent_crashes` are ends of the node's
process. After a row's damages the good folder is offered, as the control: refusing it is a false stop."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rarrl.files import sha256
from rarrl.policy.registry import SHIPPED

from .policy_graph import Robot, robot_of_the_policy, running_node
from .row import Row, Trial
from .station import STAGE


def reseal(folder: Path) -> None:
    """Makes the hashes in the card right again."""
    card = json.loads((folder / "card.json").read_text("utf-8"))
    card["files"] = {name: sha256((folder / name).read_bytes()) for name in card["files"]}
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


def on_file(name: str, change: Callable[[bytearray], bytes | bytearray], sealed: bool = True) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(bytearray(path.read_bytes())))
        if sealed:
            reseal(folder)

    return damage


def flipped(seed: int, first: int, last: int, count: int) -> Callable[[bytearray], bytearray]:
    def change(data: bytearray) -> bytearray:
        rng = np.random.default_rng(seed)
        for at in rng.integers(first, last, count):
            data[at] ^= int(rng.integers(1, 256))
        return data

    return change


def cut(length: int) -> Callable[[bytearray], bytearray]:
    """Leaves the first bytes."""
    return lambda data: data[:length]


def nan_at_the_end(data: bytearray) -> bytearray:
    data[-4:] = b"\x00\x00\xc0\x7f"  # float32, and its upper half float16: not a number
    return data


def nan_weight(folder: Path) -> None:
    from safetensors.numpy import load, save

    path = folder / "policy.safetensors"
    weights = {name: array.copy() for name, array in load(path.read_bytes()).items()}
    weights["head_out.bias"][0] = np.nan
    path.write_bytes(save(weights))
    reseal(folder)


def on_spec(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text("utf-8"))
        card["spec"] |= changes
        (folder / "card.json").write_text(json.dumps(card), "utf-8")

    return damage


def without_spec(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text("utf-8"))
    del card["spec"]
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


GGUF = "model.gguf"
OUTER = "policy.safetensors"
CUTS = (0, 3, 8, 24, 100, 400, 5000, 1_000_000)
DAMAGES: dict[str, Callable[[Path], None]] = {
    **{f"GGUF cut after {n} bytes": on_file(GGUF, cut(n)) for n in CUTS},
    **{f"GGUF header, 8 bytes flipped ({s})": on_file(GGUF, flipped(s, 0, 400, 8)) for s in range(6)},
    "GGUF of an unknown version": on_file(GGUF, lambda data: data[:4] + b"\x63\0\0\0" + data[8:]),
    "GGUF with 2^60 tensors": on_file(GGUF, lambda data: data[:8] + (1 << 60).to_bytes(8, "little") + data[16:]),
    "GGUF without a metadata key": on_file(GGUF, lambda data: data.replace(b"llama.block_count", b"llama.block_cuont")),
    "GGUF with a NaN weight": on_file(GGUF, nan_at_the_end),
    "safetensors with a NaN weight": nan_weight,
    "safetensors cut": on_file(OUTER, lambda data: data[: len(data) // 2]),
    "safetensors with a header of 2^40 bytes": on_file(OUTER, lambda data: (1 << 40).to_bytes(8, "little") + data[8:]),
    "a pickle in place of safetensors": on_file(OUTER, lambda data: b"\x80\x04\x95" + data),
    "card of another width": on_spec(width=512),
    "card with more joints": on_spec(action_names=["a", "b"], action_low=[0.0, 0.0], action_high=[1.0, 1.0]),
    "card with a horizon of 0": on_spec(horizon=0),
    "card without a spec": without_spec,
    "card that is no JSON": on_file("card.json", lambda data: data[:50], sealed=False),
    "no card": lambda folder: (folder / "card.json").unlink(),
    "no GGUF": lambda folder: (folder / GGUF).unlink(),
    "GGUF with one flipped bit, hash as it was": on_file(
        GGUF, lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], sealed=False
    ),
    "safetensors with one flipped bit, hash as it was": on_file(
        OUTER, lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], sealed=False
    ),
}


@dataclass(frozen=True)
class Configurable:
    """A node that is not active, and the folder that it is to read. process: of the node."""

    robot: Robot
    folder: Path
    alive: Callable[[], bool]


@contextmanager
def configurable() -> Iterator[Configurable]:
    """The node, without a policy yet."""
    with tempfile.TemporaryDirectory() as place, robot_of_the_policy() as robot:
        folder = Path(place) / "policy"
        with running_node(policy__folder=folder, autostart="false") as child:
            yield Configurable(robot, folder, lambda: child.poll() is None)


def _fresh(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(SHIPPED, folder)


def offered(damages: Mapping[str, Callable[[Path], None]]) -> Callable[[int, int], list[Trial]]:
    """Offers the damages in turn, and at last the good folder."""

    def play(trials: int, seed: int) -> list[Trial]:
        graph = STAGE.keep("policy files", configurable)
        names = list(damages)
        found = []
        for name in (names[k % len(names)] for k in range(trials)):
            found.append(_offer(graph, name, damages[name]))
            if found[-1].unsafe:
                STAGE.clear()
                return found
        good = _offer(graph, "the good folder", lambda folder: None)
        STAGE.clear()  # the next row begins with a node that has no policy
        return [*found, replace(good, unsafe=0, counts={"false_stops": int(not good.unsafe)})]

    return play


def _offer(graph: Configurable, name: str, damage: Callable[[Path], None]) -> Trial:
    if graph.folder.exists():
        shutil.rmtree(graph.folder)
    shutil.copytree(SHIPPED, graph.folder)
    damage(graph.folder)
    accepted = graph.robot.configure()
    counts = {"accepted": int(accepted), "parent_crashes": int(not graph.alive())}
    said = "accepted" if accepted else graph.robot.status()["message"].replace(str(graph.folder), "DIR")
    return Trial(unsafe=int(accepted), counts=counts, note=f"{name}: {said}")


GGUF_DAMAGES = ("GGUF cut", "GGUF header", "GGUF of", "GGUF with 2", "GGUF without")
OUTER_DAMAGES = ("safetensors cut", "safetensors with a header")
ROWS = (
    ("M1-policy", "a GGUF file that is cut, has flipped bytes or wrong counts", GGUF_DAMAGES),
    ("M2-policy", "safetensors that are cut, or claim a header of 2^40 bytes", OUTER_DAMAGES),
    ("P1-weights", "weights that are NaN", ("GGUF with a NaN", "safetensors with a NaN")),
    ("M3-policy", "a pickle in place of safetensors", ("a pickle",)),
    ("M4-policy", "a card that is wrong, cut or missing", ("card", "no ")),
    ("P4-flip", "one flipped bit in weights, the hash as it was", ("GGUF with one", "safetensors with one")),
)  # fmt: skip


def rows() -> tuple[Row, ...]:
    """A row for each kind of damage."""
    found = []
    for name, fault, begins in ROWS:
        damages = {damage: how for damage, how in DAMAGES.items() if damage.startswith(begins)}
        expected = "refused in one line; the node goes on, and takes the good folder"
        injected = f"{len(damages)} damages"
        play = offered(damages)
        quick = 1 if name in ("P4-flip", "P1-weights") else 0
        found.append(Row(name, "file", fault, injected, expected, "graph", play, len(damages), quick))
    return tuple(found)
