"""Behaviour cloning of demonstrations: L1 on the expert's chunk, in torch on a CPU or an accelerator."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as save_safetensors

from rarrl.errors import InputError
from rarrl.files import write_bytes_atomic
from rarrl.policy.relevance import Relevance, relevance_shapes
from rarrl.policy.spec import UNKNOWN, PolicySpec, TaskInfo

from ..progress import Progress
from .demonstrations import Demonstrations
from .model import PRIVILEGED, PolicyModel

STATE = "training.safetensors"  # the checkpoint, in the folder of the run
LEAST_SPREAD = 0.15  # of an action, as a share of the widest one
SPARE_WORDS = 2  # of a sentence that is heard later, more than the longest of training has
# The scorer of patches: Adam.
RELEVANCE_STEPS = 1500  # optimizer steps; it has two small layers
RELEVANCE_BATCH = 256  # frames
RELEVANCE_RATE = 3e-3  # learning rate
PATCH_NOISE = 0.5  # of the logarithm of a patch's relevance: which patches are kept varies from frame to frame


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    hold_still: share of a batch whose instruction is that of another task: there the robot must not move. Without it
    a policy in a scene of its own learns not to read. locate: weight of the auxiliary loss (where things are), which
    the exported policy lacks. exits: weight of the actions after each block but the last, so that fewer blocks may be
    run (MuE, arXiv 2211.11152). patches: numbers of patches to keep, one drawn for each batch; none: all."""

    steps: int = 8000
    batch: int = 32
    learning_rate: float = 8e-4
    warm_up: int = 200
    decay: float = 0.3  # the last share of the steps, in which the learning rate falls to zero
    weight_decay: float = 0.01
    ema: float = 0.998
    shift_px: int = 1
    brightness: float = 0.15
    drop_word: float = 0.05
    hold_still: float = 0.1
    locate: float = 0.3
    validation: float = 0.04  # share of the episodes
    save_every: int = 200
    exits: float = 0.0
    patches: tuple[int, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)  # of tasks in a batch; 1 where none is given

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise InputError(f"steps and batch: must be >= 1, got {self.steps} and {self.batch}")


def speed_settings(spec: PolicySpec, steps: int, weights: Mapping[str, float]) -> TrainSettings:
    """For training a policy further, so that it can do with fewer patches and blocks; some batches keep all patches."""
    shares = (3 / 16, 1 / 4, 1 / 4, 5 / 16, 3 / 8, 1 / 2, 1, 1)
    patches = tuple(max(1, round(share * spec.image_tokens)) for share in shares)

    return TrainSettings(
        steps=steps,
        learning_rate=6e-4,
        warm_up=60,
        decay=0.6,
        hold_still=0.25,
        exits=0.5,
        patches=patches,
        weights=weights,
    )


def make_spec(demonstrations: Demonstrations, horizon: int = 8, **sizes: int) -> PolicySpec:
    """A policy's spec from the data that it will learn from: its words, cameras and scales.

    sizes: `layers`, `width`, `heads`, `ffn`. Raises: InputError where recorded chunks are shorter than `horizon`."""
    frames = demonstrations.frames
    robot = demonstrations.robot
    if frames.chunks.shape[1] < horizon:
        raise InputError(f"horizon: chunks were recorded with {frames.chunks.shape[1]} rows, got {horizon}")

    texts = [text for task in demonstrations.tasks for text in task.instructions]
    words = sorted({word for text in texts for word in re.findall(r"[a-z0-9]+", text.lower())})
    low, high = _action_range(frames.chunks[:, 0])

    return PolicySpec(
        vocabulary=tuple(words),
        max_words=max(len(text.split()) for text in texts) + SPARE_WORDS,
        cameras=robot.cameras,
        image_size=frames.images.shape[2],
        proprio_names=robot.proprio_names,
        proprio_mean=tuple(frames.proprio.mean(axis=0).tolist()),
        proprio_scale=tuple(np.maximum(frames.proprio.std(axis=0), 1e-3).tolist()),
        action_names=robot.action_names,
        action_low=tuple(low.tolist()),
        action_high=tuple(high.tolist()),
        horizon=horizon,
        control_hz=robot.control_hz,
        **sizes,
    )


def _action_range(actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a,) low and high of actions (f, a): their 1 % and 99 % quantiles, or wider where an action hardly varies (a hand
    that stays upright): scaled to -1 to 1, its noise would weigh as much as the motion."""
    low, high = np.quantile(actions, (0.01, 0.99), axis=0)
    spread = np.maximum(high - low, LEAST_SPREAD * (high - low).max())
    middle = (low + high) / 2
    return middle - spread / 2, middle + spread / 2


class Batches:
    """Draws training batches: tasks equally often, paraphrases at random, some with the words of another task."""

    def __init__(
        self,
        data: Demonstrations,
        spec: PolicySpec,
        settings: TrainSettings,
        seed: int,
        relevance: Relevance | None = None,
    ) -> None:
        self._data = data
        self._spec = spec
        self._settings = settings
        self._seed = seed
        self._relevance = relevance
        held = _held_out(data, settings.validation)
        self.validation = np.flatnonzero(held)
        self._by_task = [np.flatnonzero((data.task == i) & ~held) for i in range(len(data.tasks))]
        names = [task.name for task in data.tasks]
        if unknown := set(settings.weights) - set(names):
            raise InputError(f"weight: {min(unknown)!r} is no task of the data; allowed: {', '.join(names)}")

        shares = np.array([settings.weights.get(name, 1.0) for name in names])
        if shares.min() < 0 or not 0 < shares.sum() < np.inf:
            raise InputError(f"weight: must be >= 0 and not all 0, got {dict(settings.weights)}")

        self._shares = shares / shares.sum()
        self._untouched = _untouched(data)
        self._words = [np.stack([spec.words(text) for text in task.instructions]) for task in data.tasks]
        self._opposite = {i: names.index(task.opposite) for i, task in enumerate(data.tasks) if task.opposite in names}
        self._foreign = [[_foreign(a, b) for b in data.tasks] for a in data.tasks]
        self._actions = spec.scale_actions(data.frames.chunks[:, : spec.horizon])
        self._still = spec.scale_actions(np.zeros((spec.horizon, len(spec.action_names))))
        places = data.frames.privileged
        if places.shape[1] != PRIVILEGED:
            raise InputError(f"demonstrations: privileged must have {PRIVILEGED} columns, got {places.shape[1]}")

        self._places = (places - places.mean(axis=0)) / np.maximum(places.std(axis=0), 1e-3)

    def draw(self, step: int) -> tuple[torch.Tensor, ...]:
        """Batch number `step`: words, images, proprio, actions, places. The same for the same seed and step."""
        rng = np.random.default_rng([self._seed, step])
        settings = self._settings
        n = self._settings.batch
        tasks = rng.choice(len(self._by_task), size=n, p=self._shares)
        rows = np.array([rng.choice(self._by_task[task]) for task in tasks])

        words = np.stack([self._told(task, row, rng) for task, row in zip(tasks, rows, strict=True)])
        actions = self._actions[rows].copy()
        for i in np.flatnonzero(rng.random(n) < settings.hold_still):
            told = int(rng.integers(len(self._words)))
            # Half of the time the task that undoes this one: of all words, only its ask for reading to the end.
            if tasks[i] in self._opposite and rng.random() < 0.5:
                told = self._opposite[tasks[i]]
            kind = self._foreign[tasks[i]][told]
            if kind == "other scene" or (kind == "opposite" and self._untouched[rows[i]]):
                words[i] = rng.choice(self._words[told])
                actions[i] = self._still

        words[(rng.random(words.shape) < settings.drop_word) & (words > 0)] = UNKNOWN
        images = _augment(self._data.frames.images[rows], settings, rng)
        return self._tensors(words, images, rows, actions)

    def patches(self, step: int, words: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor | None:
        """(batch, k): the patches to keep in batch number `step`, by their relevance and chance; None: all."""
        if self._relevance is None or not self._settings.patches:
            return None

        rng = np.random.default_rng([self._seed, step, 1])
        count = int(rng.choice(self._settings.patches))
        scores = self._relevance.scores(words.numpy(), proprio.numpy())
        scores = scores + PATCH_NOISE * rng.gumbel(size=scores.shape)
        return torch.from_numpy(np.sort(np.argsort(-scores, axis=1)[:, :count], axis=1))

    def validation_batch(self, first: int) -> tuple[torch.Tensor, ...]:
        """Frames of episodes that are never trained on, each with the first paraphrase."""
        rows = self.validation[first : first + self._settings.batch]
        words = np.stack([self._told(task, row) for task, row in zip(self._data.task[rows], rows, strict=True)])
        return self._tensors(words, self._data.frames.images[rows], rows, self._actions[rows])

    def _told(self, task: int, row: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """The words of a frame: its own, else any of its task (without rng: the first)."""
        own = self._data.frames.told[row]
        if own >= 0:
            return np.asarray(self._words[task][own])
        return np.asarray(self._words[task][0] if rng is None else rng.choice(self._words[task]))

    def _tensors(self, words: np.ndarray, images: np.ndarray, rows: np.ndarray, actions: np.ndarray) -> Any:
        proprio = self._spec.scale_proprio(self._data.frames.proprio[rows])
        pictures = torch.from_numpy(images).permute(0, 1, 4, 2, 3).float() / 255 - 0.5
        arrays = (proprio, actions, self._places[rows].astype(np.float32))
        return torch.from_numpy(words), pictures, *map(torch.from_numpy, arrays)


def _held_out(data: Demonstrations, share: float) -> np.ndarray:
    """(f,) bool, by the number of the start: a start is held out of every recording of it."""
    return np.random.default_rng(0).random(1_000_000)[data.frames.episode % 1_000_000] < share


def _untouched(data: Demonstrations) -> np.ndarray:
    """(f,) bool: the object is still within 1 cm of where it was in the first frame of its episode."""
    first = np.flatnonzero(data.frames.step == 0)
    start = data.frames.privileged[first[np.searchsorted(first, np.arange(len(data.task)), side="right") - 1]]
    return np.linalg.norm((data.frames.privileged - start)[:, :3], axis=1) < 0.01


def _foreign(task: TaskInfo, told: TaskInfo) -> str:
    """Whether another task's words, `told` in this task's scene, mean to hold still."""
    if task.scene != told.scene:
        return "other scene"
    return "opposite" if told.name == task.opposite else ""


def _augment(images: np.ndarray, settings: TrainSettings, rng: np.random.Generator) -> np.ndarray:
    """Shifted by up to `shift_px`, brighter or darker; (n, c, h, w, 3) uint8."""
    n, _, height, width, _ = images.shape
    result = np.empty_like(images)
    for i, (dy, dx) in enumerate(rng.integers(-settings.shift_px, settings.shift_px + 1, (n, 2))):
        gain = 1 + settings.brightness * rng.uniform(-1, 1)
        table = np.clip(np.arange(256) * gain, 0, 255).astype(np.uint8)
        ys, xs = np.clip(np.arange(height) + dy, 0, height - 1), np.clip(np.arange(width) + dx, 0, width - 1)
        result[i] = table[images[i]][:, ys][:, :, xs]

    return result


def fit_policy(
    data: Demonstrations,
    spec: PolicySpec,
    out: Path,
    settings: TrainSettings,
    seed: int = 0,
    progress: Progress | None = None,
    start: PolicyModel | None = None,
    relevance: Relevance | None = None,
) -> tuple[PolicyModel, dict[str, float]]:
    """Trains, or continues where `out` holds an unfinished (or shorter) run: more `steps`, other data are allowed.

    Args:
        out: a folder for checkpoints and TensorBoard's events; torch uses as many threads as it is set to
        start: the weights that a new run begins with; None: random ones
        relevance: chooses the patches, where the settings ask for some only

    Returns: the averaged model, and `loss` (where a step was left to do), `validation_l1` (network units).
    Raises: InputError."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.tensorboard import SummaryWriter

    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = PolicyModel(spec)
    if start is not None:
        model.load_state_dict(start.state_dict())
    model = model.to(device)
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(model.parameters(), settings)
    first = _restore(out / STATE, spec, model, average, optimizer)

    batches = Batches(data, spec, settings, seed, relevance)
    loss_mean = 0.0

    # For so few tokens the plain products are a sixth quicker than the fused kernel on a CPU.
    with SummaryWriter(str(out / "tensorboard")) as board, sdpa_kernel(SDPBackend.MATH):
        for step in range(first, settings.steps):
            drawn = batches.draw(step)
            patches = batches.patches(step, drawn[0], drawn[2])
            words, images, proprio, actions, places = (t.to(device) for t in drawn)
            with torch.autocast(device, torch.bfloat16, enabled=_has_bfloat16(device)):
                embedded = model.embed(words, images, proprio, patches if patches is None else patches.to(device))
                *early, last = model.slots_after(embedded)
                located = model.locate(last.mean(dim=1))
                l1 = (model.act(last) - actions).abs().mean()
                loss = l1 + settings.locate * (located - places).abs().mean()
                if settings.exits:
                    loss = loss + settings.exits * sum((model.act(h) - actions).abs().mean() for h in early)

            descend(loss, model, optimizer, average, step, settings)
            loss_mean = l1.item() if step == first else 0.98 * loss_mean + 0.02 * l1.item()
            if step % 50 == 0:
                board.add_scalar("l1", loss_mean, step)
                if progress:
                    progress(step, f"L1 {loss_mean:.4f}")
            if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
                _save(out / STATE, spec, model, average, optimizer, step + 1)

    model.load_state_dict(average)
    model.eval()
    trained = {"loss": loss_mean} if first < settings.steps else {}
    return model, {**trained, "validation_l1": validate(model, batches)}


@torch.no_grad()
def validate(model: PolicyModel, batches: Batches) -> float:
    """Mean L1 of the chunk in network units, over frames of held-out episodes; 0 where there are none."""
    device = next(model.parameters()).device
    errors = []
    for first in range(0, len(batches.validation), batches._settings.batch):
        words, images, proprio, actions, _ = (t.to(device) for t in batches.validation_batch(first))
        errors.append((model(words, images, proprio)[0] - actions).abs().mean(dim=(1, 2)))
    return float(torch.cat(errors).mean()) if errors else 0.0


def load_average(path: Path) -> PolicyModel:
    """The averaged model of a checkpoint, ready for use.

    Raises: InputError."""
    try:
        with safe_open(path, "pt") as file:
            spec = PolicySpec.model_validate_json((file.metadata() or {})["spec"])
            model = PolicyModel(spec)
            model.load_state_dict({name: file.get_tensor(f"average.{name}") for name in model.state_dict()})
    except Exception as error:  # safetensors, pydantic and torch each raise their own: it is not our file
        raise InputError(f"checkpoint: {path} is not one of `rarrl train policy` ({type(error).__name__})") from None

    return model.eval()


def _has_bfloat16(device: str) -> bool:
    """Whether bfloat16 is quick: emulated, it is five times slower than float32 (with it here, 1.8 times as fast)."""
    return device == "cuda" or getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()


def make_optimizer(parameters: Iterable[torch.nn.Parameter], settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW on these weights."""
    return torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98))


def descend(
    loss: torch.Tensor,
    model: PolicyModel,
    optimizer: torch.optim.Optimizer,
    average: dict[str, torch.Tensor],
    step: int,
    settings: TrainSettings,
) -> None:
    """One step of the weights that the optimizer has, at this step's pace, and of the average after them."""
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * _pace(step, settings)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    _average(average, model, min(settings.ema, (1 + step) / (10 + step)))


def _pace(step: int, settings: TrainSettings) -> float:
    """Learning rate as a share of the largest: up, constant, then down to zero."""
    left = (settings.steps - step) / max(settings.decay * settings.steps, 1)
    return min((step + 1) / settings.warm_up, 1.0, left)


@torch.no_grad()
def _average(average: dict[str, torch.Tensor], model: PolicyModel, keep: float) -> None:
    for name, value in model.state_dict().items():
        average[name].lerp_(value, 1 - keep)


def _save(
    path: Path,
    spec: PolicySpec,
    model: PolicyModel,
    average: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for name, parameter in model.named_parameters():
        for part in ("exp_avg", "exp_avg_sq"):
            tensors[f"{part}.{name}"] = optimizer.state[parameter][part]
    tensors = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    write_bytes_atomic(path, save_safetensors(tensors, {"step": str(step), "spec": spec.model_dump_json()}))


def _restore(
    path: Path,
    spec: PolicySpec,
    model: PolicyModel,
    average: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
) -> int:
    """Fills everything from a checkpoint, if there is one; the step to go on from."""
    if not path.exists():
        return 0

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            step = int(about["step"])
            kept = json.loads(about["spec"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except Exception as error:  # as in load_average
        raise InputError(f"checkpoint: {path} is damaged ({type(error).__name__}); remove it to start again") from None

    if kept != json.loads(spec.model_dump_json()):
        raise InputError(f"checkpoint: {path} is of another policy (data, words or sizes differ); name another --out")

    model.load_state_dict({name: tensors[f"model.{name}"] for name in model.state_dict()})
    for name, value in average.items():
        value.copy_(tensors[f"average.{name}"])
    for name, parameter in model.named_parameters():
        moments = {part: tensors[f"{part}.{name}"].to(parameter.device) for part in ("exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
    return step


def train_relevance(model: PolicyModel, data: Demonstrations, frames: int = 2000, seed: int = 0) -> Relevance:
    """Learns which patches matter: two layers guess from words and proprioception how much the actions would change.

    A patch's weight in a frame is |dot(gradient of an action, its embedding - the mean embedding of its place in the
    task)|: what always looks the same weighs nothing. frames: how many to learn from, tasks equally often."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    shapes = relevance_shapes(model.spec)
    weights = {n: (0.1 * torch.randn(s)).requires_grad_() for n, s in shapes.items()}

    words, proprio, target = _relevance_data(model, data, frames, seed, rng)

    optimizer = torch.optim.Adam(weights.values(), RELEVANCE_RATE)
    for _ in range(RELEVANCE_STEPS):
        rows = torch.from_numpy(rng.integers(len(words), size=RELEVANCE_BATCH))
        loss = _relevance_loss(weights, words[rows], proprio[rows], target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Relevance(model.spec, {n: value.detach().numpy() for n, value in weights.items()})


def _relevance_data(
    model: PolicyModel, data: Demonstrations, frames: int, seed: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Words, proprioception and shares of the patches of about `frames` frames, as many of each task."""
    batches = Batches(data, model.spec, TrainSettings(hold_still=0.0), seed)

    instructions = []
    states = []
    shares = []
    for task, rows in enumerate(batches._by_task):
        rows = rng.choice(rows, size=min(len(rows), frames // len(batches._by_task)), replace=False)
        words = torch.from_numpy(np.stack([rng.choice(batches._words[task]) for _ in rows]))
        _, images, proprio, _, _ = batches._tensors(
            words.numpy(), data.frames.images[rows], rows, batches._actions[rows]
        )
        shares.append(_patch_shares(model, words, images, proprio))
        instructions.append(words)
        states.append(proprio)

    return torch.cat(instructions), torch.cat(states), torch.cat(shares)


def _relevance_loss(
    weights: dict[str, torch.Tensor], words: torch.Tensor, proprio: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Cross entropy of the guessed shares; noise on the proprioception and dropped words keep it from memorising."""
    proprio = proprio + 0.1 * torch.randn(len(words), proprio.shape[1])
    kept = (words > 0) & (torch.rand(words.shape) > 0.1) | (torch.arange(words.shape[1]) == 0)
    bag = (weights["word.weight"][words] * kept[:, :, None]).sum(1) / kept.sum(1, keepdim=True)

    hidden = torch.relu(bag + proprio @ weights["proprio.weight"].T + weights["proprio.bias"])
    guess = (hidden @ weights["out.weight"].T + weights["out.bias"]).log_softmax(dim=1)
    return -(target * guess).sum(dim=1).mean()


def _patch_shares(model: PolicyModel, words: torch.Tensor, images: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
    """(frames of one task, patches): shares of the patches in what changes the actions."""
    spec = model.spec
    first, last = spec.max_words, spec.max_words + spec.image_tokens

    with torch.no_grad():
        x = torch.cat(
            [model.embed(words[i : i + 64], images[i : i + 64], proprio[i : i + 64]) for i in range(0, len(words), 64)]
        )

    away = (x - x.mean(dim=0))[:, first:last]
    x.requires_grad_()

    total = torch.zeros(away.shape[:2])
    actions = model.act(model.slots_after(x)[-1]).sum(dim=1)
    for i in range(actions.shape[1]):
        (gradient,) = torch.autograd.grad(actions[:, i].sum(), x, retain_graph=True)
        total += (gradient[:, first:last] * away).sum(dim=2) ** 2
    total = total.sqrt()
    return total / total.sum(dim=1, keepdim=True).clamp_min(1e-9)
