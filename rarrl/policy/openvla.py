"""Runs checkpoints of the OpenVLA kind: a Llama in llama.cpp, the projector and head in numpy, the vision tower yours.

https://github.com/openvla/openvla (arXiv 2406.09246): seven tokens are spoken, one for each number of an action.
https://github.com/moojink/openvla-oft (arXiv 2502.19645): a chunk is read off the hidden states in one pass without a
causal mask. Which of the two it is, the weights tell.
docs/how-to/run-an-openvla-checkpoint.md tells how to make the files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rarrl.errors import InputError
from rarrl.llama.gguf import Gguf, read_gguf
from rarrl.llama.runtime import LlamaRuntime
from rarrl.policy.base import ActionChunk, InterfaceSpec, Observation
from rarrl.strict_json import read_json, validated

Features = Callable[[np.ndarray], np.ndarray]
"""(cameras, size, size, 3) uint8 RGB -> (cameras * patches, vision width) float32, the first camera first."""

CARD = "openvla.json"
_FILE = r"^[^/\\\r\n]+$"  # of the folder: a card from elsewhere does not reach beyond it
PROMPT = "In: What action should the robot take to {instruction}?\nOut:"
EMPTY = "▁"  # the token of a space
MAX_PROMPT = 128  # tokens
BINS = 256  # edges between which an action's number lies, and tokens that name it
PADDING = 64  # the token table is filled up to a multiple of this
MAX_BYTES = 4_000_000_000  # of the weights around the Llama; those of OpenVLA-OFT have 0.9e9
NORM_EPS = 1e-5  # torch's layer norm


@dataclass(frozen=True)
class OpenVlaSpec(InterfaceSpec):
    """What such a policy takes and gives; the ranges come from the statistics.

    patches: tokens of one picture."""

    patches: int = 256


@dataclass(frozen=True)
class Robot:
    """What the files do not tell, and the data set's card does.

    Args:
        control_hz: actions a second in the training data
        cameras: names of the pictures, in the order of training
        image_size: pixels of a side, as `Features` wants it
        patches: tokens that `Features` makes of one picture
        action_names, proprio_names: with units, in the order of training; no proprioception: none
        horizon: actions at once; 1 for policies that speak tokens
    """

    control_hz: float
    cameras: tuple[str, ...] = ("image",)
    image_size: int = 224
    patches: int = 256
    action_names: tuple[str, ...] = ("dx_m", "dy_m", "dz_m", "droll_rad", "dpitch_rad", "dyaw_rad", "gripper")
    proprio_names: tuple[str, ...] = ()
    horizon: int = 1


@dataclass(frozen=True, eq=False)
class Scale:
    """1 % and 99 % quantiles, which are -1 and 1 to the network; where not `mask`, numbers stay as they are."""

    low: np.ndarray
    high: np.ndarray
    mask: np.ndarray

    def unscale(self, scaled: np.ndarray) -> np.ndarray:
        """(..., n) of the network to the robot's units, float32, cut at the quantiles: it never saw more."""
        cut = np.clip(scaled, -1, 1)
        return np.where(self.mask, self.low + (cut + 1) / 2 * (self.high - self.low), cut).astype(np.float32)

    def scale(self, values: np.ndarray) -> np.ndarray:
        """(n,) in the robot's units to what the network sees, float32, cut to -1 to 1."""
        scaled = 2 * (values - self.low) / (self.high - self.low + 1e-8) - 1
        return np.clip(np.where(self.mask, scaled, values), -1, 1).astype(np.float32)

    @property
    def range(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lowest and highest values in the robot's units."""
        low, high = np.where(self.mask, self.low, -1.0), np.where(self.mask, self.high, 1.0)
        return tuple(map(float, low)), tuple(map(float, high))


class OpenVlaPolicy:
    """A `Policy` of a checkpoint's parts. For one thread; close it, or use it with `with`.

    Two things differ from the original code, on purpose: actions are cut at the quantiles, and a spoken token that
    names no action is an error, where the original takes the last bin (the end-of-text token would be full speed).

    Args:
        gguf: the Llama with its tokenizer, in any of ggml's types
        weights: safetensors, float32 or float16: `projector.*`, and for OFT `action_head.*`, `proprio_projector.*`
        statistics: JSON, `dataset_statistics.json` or a `config.json` with `norm_stats`
        features: the vision tower
        robot: see there
        dataset: whose statistics; None: the file holds one
        vocabulary: tokens without the padding; the last 256 of them name actions
        threads: of llama.cpp
        exact: attention in float32 throughout, for comparison with torch

    Raises: InputError in one line for whatever does not fit, DependencyMissingError without llama.cpp."""

    def __init__(
        self,
        gguf: Path,
        weights: Path,
        statistics: Path,
        features: Features,
        robot: Robot,
        dataset: str | None = None,
        vocabulary: int = 32_000,
        threads: int = 1,
        exact: bool = False,
    ) -> None:
        self._features, self._vocabulary = features, vocabulary
        self._action, self._proprio = load_scales(statistics, robot, dataset)
        self._gguf = _checked_gguf(gguf, vocabulary)
        self._weights = load_weights(weights, self._gguf.shape.width, robot)
        self._regresses = "action_head.model.fc1.weight" in self._weights
        if not self._regresses and robot.horizon != 1:
            raise InputError(f"robot.horizon: without action_head.* in {weights} it must be 1, got {robot.horizon}")
        low, high = self._action.range
        proprio_low, proprio_high = (np.array(x) for x in self._proprio.range)
        self._spec = OpenVlaSpec(
            cameras=robot.cameras,
            image_size=robot.image_size,
            proprio_names=robot.proprio_names,
            proprio_mean=tuple(map(float, (proprio_low + proprio_high) / 2)),
            proprio_scale=tuple(map(float, (proprio_high - proprio_low) / 2)),
            action_names=robot.action_names,
            action_low=low,
            action_high=high,
            horizon=robot.horizon,
            control_hz=robot.control_hz,
            patches=robot.patches,
        )
        self._slots = robot.horizon * len(robot.action_names)
        # Beginning of the sentence, pictures, proprioception, words, actions, end.
        most = 1 + len(robot.cameras) * robot.patches + 1 + MAX_PROMPT + self._slots + 1
        self._runtime = LlamaRuntime(gguf, most, threads, exact)
        try:
            first = self._runtime.tokens("")
            if len(first) != 1:
                raise InputError(f"{gguf}: its tokenizer must begin a text with one token, it adds {len(first)}")
            # One token goes through all weights and finds NaN among them, in less time than dequantizing them takes.
            self._predicted(self._table(first), None)
        except BaseException:
            self.close()
            raise

    @property
    def spec(self) -> OpenVlaSpec:
        """What it takes and gives."""
        return self._spec

    def infer(self, observation: Observation, stop: Callable[[], bool] | None = None) -> ActionChunk:
        """See `Policy`."""
        embeddings = self._embed(observation)
        self._runtime.forget()
        scaled = self._regress(embeddings, stop) if self._regresses else self._speak(embeddings, stop)
        return ActionChunk(self._action.unscale(scaled), 1 / self._spec.control_hz, observation.observed_at)

    def reset(self) -> None:
        """See `Policy`; nothing is kept."""

    def close(self) -> None:
        """Frees llama.cpp's memory."""
        self._runtime.close()

    def __enter__(self) -> OpenVlaPolicy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _embed(self, observation: Observation) -> np.ndarray:
        """(tokens, width): beginning of the sentence, pictures, proprioception, the other words."""
        spec, w = self._spec, self._weights
        images, proprio = observation.images, observation.proprio
        shape = (len(spec.cameras), spec.image_size, spec.image_size, 3)
        if images.shape != shape or images.dtype != np.uint8:
            raise InputError(f"observation.images: must be {shape} uint8 RGB, got {images.shape} {images.dtype}")
        if proprio.shape != (len(spec.proprio_names),) or not np.isfinite(proprio).all():
            raise InputError(
                f"observation.proprio: must be {len(spec.proprio_names)} finite numbers, got {proprio.tolist()}"
            )
        words = self._table(self._prompt(observation.instruction))
        seen = np.asarray(self._features(images), np.float32)
        expected = (len(spec.cameras) * spec.patches, w["projector.fc1.weight"].shape[1])
        if seen.shape != expected or not np.isfinite(seen).all():
            raise InputError(f"features: must give {expected} finite numbers, got {seen.shape}")
        parts = [words[:1], _perceptron(w, "projector", seen), words[1:]]
        if spec.proprio_names:
            own = _perceptron(w, "proprio_projector", self._proprio.scale(proprio)[None])
            parts.insert(2, own)
        return np.concatenate(parts)

    def _prompt(self, instruction: str) -> list[int]:
        if not instruction.strip() or not instruction.isprintable():
            raise InputError(f"instruction: must be one line of words, got {instruction[:60]!r}")
        ids = self._runtime.tokens(PROMPT.format(instruction=instruction[:1000].strip().lower()))
        if len(ids) >= MAX_PROMPT or len(instruction) > 1000:
            raise InputError(f"instruction: {instruction[:60]!r}... is longer than {MAX_PROMPT} tokens; say it shorter")
        # Training put an empty word behind the colon, which the tokenizer does not.
        return [*ids, self._gguf.metadata["tokenizer.ggml.tokens"][0].index(EMPTY)]

    def _table(self, ids: list[int]) -> np.ndarray:
        return self._gguf.rows("token_embd.weight", ids)

    def _predicted(self, embeddings: np.ndarray, stop: Callable[[], bool] | None) -> int:
        """The token most likely to follow."""
        return int(np.argmax(self._finite(self._runtime.logits(embeddings, stop))))

    def _speak(self, embeddings: np.ndarray, stop: Callable[[], bool] | None) -> np.ndarray:
        """(1, a): one token after the other, each naming a bin."""
        edges = np.linspace(-1, 1, BINS)
        centres = (edges[:-1] + edges[1:]) / 2
        scaled: list[float] = []
        while True:
            token = self._predicted(embeddings, stop)
            place = self._vocabulary - 1 - token
            if not 0 <= place < BINS:
                raise InputError(f"policy: it spoke token {token}, which names no action; the weights do not fit")
            scaled.append(centres[min(place, BINS - 2)])  # 256 tokens for 255 centres: as in training
            if len(scaled) == self._slots:
                return np.array([scaled])
            embeddings = self._table([token])

    def _regress(self, embeddings: np.ndarray, stop: Callable[[], bool] | None) -> np.ndarray:
        """(horizon, a): all at once; a slot is read one token before it, as a token is predicted."""
        first = len(embeddings) - 1
        end = self._table([int(self._gguf.metadata["tokenizer.ggml.eos_token_id"][0])])
        slots = np.zeros((self._slots, embeddings.shape[1]), np.float32)
        hidden = self._runtime.decode(np.concatenate((embeddings, slots, end)), stop=stop)
        read = self._finite(hidden)[first : first + self._slots].reshape(self._spec.horizon, -1)
        return self._finite(_action_head(self._weights, read))

    def _finite(self, values: np.ndarray) -> np.ndarray:
        if not np.isfinite(values).all():
            raise InputError(f"policy: {self._gguf.path} computes NaN; its weights are damaged or quantized too far")
        return values


class RobotCard(BaseModel):
    """`Robot` as a file tells it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    control_hz: float = Field(gt=0, le=1000, description="above 0 to 1000, actions a second in the training data")
    cameras: tuple[str, ...] = Field(("image",), min_length=1, max_length=8, description="list of names")
    image_size: int = Field(224, ge=1, le=1024, description="integer 1 to 1024, pixels of a side")
    patches: int = Field(256, ge=1, le=4096, description="integer 1 to 4096, tokens of one picture")
    action_names: tuple[str, ...] = Field(Robot.action_names, min_length=1, max_length=64, description="list of names")
    proprio_names: tuple[str, ...] = Field((), max_length=64, description="list of names")
    horizon: int = Field(1, ge=1, le=64, description="integer 1 to 64, actions at once")


class OpenVlaCard(BaseModel):
    """The file openvla.json of a folder: which files it holds, and what they do not tell (`OpenVlaPolicy`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gguf: str = Field("llama.gguf", pattern=_FILE, description="name of a file in the folder")
    weights: str = Field("outer.safetensors", pattern=_FILE, description="name of a file in the folder")
    statistics: str = Field("dataset_statistics.json", pattern=_FILE, description="name of a file in the folder")
    dataset: str | None = Field(None, max_length=200, description="null, or a name in the statistics")
    vocabulary: int = Field(32_000, ge=BINS, le=1_000_000, description="integer 256 to 1000000, tokens")
    robot: RobotCard = Field(description="an object with control_hz and what differs from OpenVLA's own robot")


def load_openvla(folder: Path, features: Features, gguf: Path | None = None, threads: int = 1) -> OpenVlaPolicy:
    """The policy of a folder with `CARD`. gguf: another Llama, such as a quantized one; None: the folder's own.

    Raises: InputError in one line for whatever does not fit, DependencyMissingError without llama.cpp."""
    path = folder / CARD
    card = validated(OpenVlaCard, read_json(path, "policy"), "policy", str(path), {"robot": RobotCard})
    return OpenVlaPolicy(
        gguf or folder / card.gguf,
        folder / card.weights,
        folder / card.statistics,
        features,
        Robot(**card.robot.model_dump()),
        dataset=card.dataset,
        vocabulary=card.vocabulary,
        threads=threads,
    )


def load_scales(path: Path, robot: Robot, dataset: str | None = None) -> tuple[Scale, Scale]:
    """Of actions and of proprioception (empty where the robot has none).

    Raises: InputError for a data set or key that is missing, a wrong number of values, low above high."""
    statistics = read_json(path, "statistics")
    statistics = statistics.get("norm_stats", statistics) if isinstance(statistics, dict) else {}
    names = sorted(statistics) if isinstance(statistics, dict) else []
    if dataset is None and len(names) == 1:
        dataset = names[0]
    if dataset not in names:
        raise InputError(f"dataset: {dataset!r} is not in {path}; allowed: {', '.join(names)[:500] or 'nothing'}")
    found = statistics[dataset]
    empty = Scale(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    proprio = _scale(found, "proprio", len(robot.proprio_names), path) if robot.proprio_names else empty
    return _scale(found, "action", len(robot.action_names), path), proprio


def _scale(statistics: object, what: str, n: int, path: Path) -> Scale:
    part = statistics.get(what) if isinstance(statistics, dict) else None
    part = part if isinstance(part, dict) else {}
    mask = part.get("mask", [True] * n)
    numbers = [part.get(key) for key in ("q01", "q99")]
    if not all(
        isinstance(xs, list) and len(xs) == n and all(type(x) in kinds for x in xs)
        for xs, kinds in zip([*numbers, mask], ((int, float), (int, float), (bool,)), strict=True)
    ):
        raise InputError(f"statistics: {path}: {what} must hold q01, q99 ({n} numbers each) and mask ({n} booleans)")
    low, high = (np.array(xs, np.float64) for xs in numbers)
    if (low > high).any():
        raise InputError(f"statistics: {path}: {what}: q01 must not be above q99")
    return Scale(low, high, np.array(mask, bool))


def _checked_gguf(path: Path, vocabulary: int) -> Gguf:
    gguf = read_gguf(path)
    kind, tokens, end = (
        gguf.metadata.get(f"tokenizer.ggml.{key}", ("", ""))[0] for key in ("model", "tokens", "eos_token_id")
    )
    if kind != "llama" or not isinstance(tokens, list) or EMPTY not in tokens or end not in range(len(tokens)):
        raise InputError(f"{path}: holds no tokenizer of a Llama 2; convert the checkpoint together with its tokenizer")
    if not vocabulary <= gguf.shape.vocab <= vocabulary + PADDING or len(tokens) != gguf.shape.vocab:
        raise InputError(
            f"{path}: has {gguf.shape.vocab} tokens ({len(tokens)} named), must have {vocabulary} and up to {PADDING} "
            "more as padding; take the Llama of the checkpoint itself, and give `vocabulary` where it differs"
        )
    return gguf


def load_weights(path: Path, width: int, robot: Robot) -> dict[str, np.ndarray]:
    """The weights around a Llama of `width`, float32.

    Raises: InputError for other names or shapes than the robot asks for, other types, NaN."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise InputError(f"weights: {path} must be a safetensors file of at most {MAX_BYTES} bytes")
    weights = {}
    try:
        with safe_open(path, framework="numpy") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            expected = weight_shapes(shapes, width, robot)
            if shapes != expected:
                name = min(n for n in {*shapes, *expected} if shapes.get(n) != expected.get(n))
                raise InputError(
                    f"weights: {path}: {name} has shape {shapes.get(name)}, the Llama and the robot ask for "
                    f"{expected.get(name)}"
                )
            for name in expected:
                array = file.get_tensor(name)
                if array.dtype not in (np.float32, np.float16) or not np.isfinite(array).all():
                    raise InputError(f"weights: {path}: {name} must be finite float32 or float16; export it again")
                weights[name] = array.astype(np.float32)
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: numpy has no bfloat16
        text = " ".join(str(error).split())[:120]
        raise InputError(f"weights: {path} is no safetensors file of float32 or float16 ({text})") from None
    return weights


def weight_shapes(found: dict[str, tuple[int, ...]], width: int, robot: Robot) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, named as in the original code. What is free (inner sizes, two or three layers of
    the projector, a head or none) follows `found`."""

    def size(name: str, axis: int) -> int:
        shape = found.get(name, ())
        return shape[axis] if len(shape) == 2 else 1

    def linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}

    def norm(name: str, n: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (n,), f"{name}.bias": (n,)}

    inner, vision = (size("projector.fc1.weight", axis) for axis in (0, 1))
    shapes = linear("projector.fc1", inner, vision) | linear("projector.fc2", width, inner)
    if "projector.fc3.weight" in found:
        shapes |= linear("projector.fc3", width, width)
    if robot.proprio_names:
        shapes |= linear("proprio_projector.fc1", width, len(robot.proprio_names))
        shapes |= linear("proprio_projector.fc2", width, width)
    if "action_head.model.fc1.weight" in found:
        head, a = "action_head.model", len(robot.action_names)
        n = size(f"{head}.fc1.weight", 0)
        shapes |= norm(f"{head}.layer_norm1", a * width) | linear(f"{head}.fc1", n, a * width)
        for i in range(2):
            block = f"{head}.mlp_resnet_blocks.{i}.ffn"
            shapes |= norm(f"{block}.0", n) | linear(f"{block}.1", n, n)
        shapes |= norm(f"{head}.layer_norm2", n) | linear(f"{head}.fc2", a, n)
    return shapes


def _linear(w: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(w: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + NORM_EPS) * w[f"{name}.weight"] + w[f"{name}.bias"]


def _perceptron(w: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    """fc1, fc2 and, where there is one, fc3, with GELU between."""
    x = _linear(w, f"{name}.fc2", gelu(_linear(w, f"{name}.fc1", x)))
    return _linear(w, f"{name}.fc3", gelu(x)) if f"{name}.fc3.weight" in w else x


def _action_head(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """(horizon, a * width) -> (horizon, a): a residual network of two blocks."""
    head = "action_head.model"
    x = np.maximum(_linear(w, f"{head}.fc1", _norm(w, f"{head}.layer_norm1", x)), 0)
    for i in range(2):
        block = f"{head}.mlp_resnet_blocks.{i}.ffn"
        x = x + np.maximum(_linear(w, f"{block}.1", _norm(w, f"{block}.0", x)), 0)
    return _linear(w, f"{head}.fc2", _norm(w, f"{head}.layer_norm2", x))


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution's mass below x; float32.

    numpy has no erf: Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.zeros_like(x)
    for a in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(a)) * t
    return x * (0.5 + 0.5 * np.sign(x) * (1 - series * np.exp(-z * z)))
