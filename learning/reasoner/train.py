"""Trains the planner model: a small Llama on examples made of ALFRED's plans, served by llama.cpp.

Only this module needs torch. Interrupted training goes on from `checkpoint.safetensors` and its JSON beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import Tensor, nn

from rarrl.errors import InputError
from rarrl.files import write_bytes_atomic, write_json_atomic, write_text_atomic
from rarrl.reasoner import prompt as p
from rarrl.strict_json import read_json

from ..torch_llama import rotate
from .curriculum import AnnotatedPlan, Example, ExampleSampler
from .tokenizer import train_tokenizer

CHECKPOINT = "checkpoint.safetensors"
TOKENIZER = "tokenizer.json"
AVERAGE = "average."  # prefix of the averaged weights in the checkpoint
LATE_FROM = 0.525
"""Share of the steps after which examples are drawn by LATE_MIX."""
POOL_BATCHES = 32
"""Batches for which examples are drawn at once and sorted by length; a checkpoint falls between two pools."""


@dataclass(frozen=True)
class Shape:
    """Of the model. Widths are multiples of 32 (Q8_0 blocks)."""

    vocabulary: int = 3072
    width: int = 256
    layers: int = 6
    heads: int = 4
    ffn: int = 768
    context: int = 1024
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5


@dataclass(frozen=True)
class TrainConfig:
    """seed: of weights and examples. steps: optimiser steps of about `batch_tokens` tokens."""

    seed: int = 0
    steps: int = 4_000
    batch_tokens: int = 4_096
    lr: float = 1.5e-3
    warmup: int = 150
    decay_share: float = 0.4  # of the steps: the learning rate falls to 0, linearly
    weight_decay: float = 0.1
    dropout: float = 0.1
    ema: float = 0.998  # the averaged weights are what is exported
    text_weight: float = 0.3  # of the loss on words; JSON pieces count 1
    verdict_weight: float = 4.0  # of the one token that is a verdict


class Dropout(nn.Module):
    """Drops channels of whole sequences: drawing a mask a token costs a tenth of the training time on a CPU."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.share:
            return x
        keep = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) >= self.share
        return x * (keep / (1 - self.share)).to(x.dtype)


class Block(nn.Module):
    def __init__(self, s: Shape, dropout: float) -> None:
        super().__init__()
        self.heads = s.heads
        self.dropout = Dropout(dropout)
        self.attn_norm = nn.RMSNorm(s.width, s.norm_eps)
        self.ffn_norm = nn.RMSNorm(s.width, s.norm_eps)
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = (
            nn.Linear(s.width, s.width, bias=False) for _ in range(4)
        )
        self.ffn_gate = nn.Linear(s.width, s.ffn, bias=False)
        self.ffn_up = nn.Linear(s.width, s.ffn, bias=False)
        self.ffn_down = nn.Linear(s.ffn, s.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        n, length, width = x.shape
        h = self.attn_norm(x)
        q, k, v = (
            proj(h).view(n, length, self.heads, -1).transpose(1, 2) for proj in (self.attn_q, self.attn_k, self.attn_v)
        )

        # Plain products: torch's fused attention is several times slower in bfloat16 on such short sequences.
        scores = _rotated(q, cos, sin) @ _rotated(k, cos, sin).transpose(2, 3) * (width // self.heads) ** -0.5
        a = (scores + mask).softmax(-1) @ v
        x = x + self.dropout(self.attn_output(a.transpose(1, 2).reshape(n, length, width)))
        h = self.ffn_norm(x)

        return x + self.dropout(self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h)))


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`torch_llama.rotate` in the type of `x`: under autocast the angles stay float32."""
    return rotate(x, (cos, sin)).to(x.dtype)


class PlannerModel(nn.Module):
    """A Llama with tied embeddings; parameters are named as in GGUF (`blk.0.attn_q.weight`)."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape, dropout) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, shape.norm_eps)
        self.dropout = Dropout(dropout)
        half = shape.width // shape.heads // 2
        rate = shape.rope_base ** (-torch.arange(half) / half)
        angle = torch.arange(shape.context)[:, None] * rate
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.02 if not deep else 0.02 / math.sqrt(2 * shape.layers))

    def hidden(self, ids: Tensor) -> Tensor:
        """(n, length) ids -> (n, length, width) after the final norm."""
        x = self.dropout(self.token_embd(ids))
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        mask = torch.full((ids.shape[1],) * 2, -1e4, device=ids.device).triu(1)
        if torch.is_autocast_enabled(ids.device.type):
            mask = mask.bfloat16()
        for block in self.blk:
            x = block(x, cos, sin, mask)
        return self.output_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.token_embd.weight)


@dataclass(frozen=True)
class Batch:
    """ids: (n, length) int64, padded behind. rows, columns: of the tokens that are answers; weights: of their loss."""

    ids: Tensor
    rows: Tensor
    columns: Tensor
    weights: Tensor


class Encoder:
    """Examples -> batches."""

    def __init__(self, tokenizer: Tokenizer, config: TrainConfig, device: str = "cpu") -> None:
        self._device = device
        ids = tokenizer.get_vocab(with_added_tokens=True)
        self.tokenizer = tokenizer
        self.end = ids[p.END]
        words = min(ids[piece] for piece in p.json_pieces())  # BPE's own ids come first
        verdicts = [ids[piece] for piece in p.json_pieces() if '"ok":' in piece]
        self._weights = np.ones(tokenizer.get_vocab_size(), np.float32)
        self._weights[:words] = config.text_weight
        self._weights[verdicts] = config.verdict_weight

    def encode(self, examples: Sequence[Example]) -> list[tuple[list[int], int]]:
        """Token ids with the end, and where the answer begins."""
        texts = [example.prompt for example in examples] + [example.answer for example in examples]
        encoded = [encoding.ids for encoding in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
        half = len(examples)
        return [(q + a + [self.end], len(q)) for q, a in zip(encoded[:half], encoded[half:], strict=True)]

    def batches(self, encoded: Sequence[tuple[list[int], int]], batch_tokens: int) -> list[Batch]:
        """Neighbours in length together."""
        ordered = sorted(encoded, key=lambda pair: len(pair[0]))
        groups: list[list[tuple[list[int], int]]] = [[]]
        for pair in ordered:
            if groups[-1] and len(pair[0]) * (len(groups[-1]) + 1) > batch_tokens:
                groups.append([])
            groups[-1].append(pair)
        return [self._batch(group) for group in groups if group]

    def _batch(self, group: Sequence[tuple[list[int], int]]) -> Batch:
        ids = np.full((len(group), max(len(tokens) for tokens, _ in group)), self.end, np.int64)
        rows, columns = [], []
        for i, (tokens, start) in enumerate(group):
            ids[i, : len(tokens)] = tokens
            rows.append(np.full(len(tokens) - start, i))
            columns.append(np.arange(start, len(tokens)))

        row = np.concatenate(rows)
        column = np.concatenate(columns)
        weights = self._weights[ids[row, column]]
        return Batch(*(torch.from_numpy(array).to(self._device) for array in (ids, row, column, weights)))


def batch_loss(model: PlannerModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Weighted mean loss of a batch, and whether each answer's every token is the likeliest: greedy decoding's hit."""
    hidden = model.hidden(batch.ids)[batch.rows, batch.columns - 1]
    logits = model.logits(hidden).float()
    target = batch.ids[batch.rows, batch.columns]
    loss = F.cross_entropy(logits, target, reduction="none")
    hits = (logits.argmax(-1) == target).float()
    hit = torch.ones(len(batch.ids), device=hits.device).scatter_reduce(0, batch.rows, hits, "amin")
    return (loss * batch.weights).sum() / batch.weights.sum(), hit


@dataclass(frozen=True)
class Trained:
    """shape, tokenizer and the averaged weights by their GGUF names, float32; last figures of the development set."""

    shape: Shape
    tokenizer: Tokenizer
    weights: dict[str, np.ndarray]
    figures: dict[str, float]


def fit_planner(
    training_set: Sequence[AnnotatedPlan],
    development: Sequence[AnnotatedPlan],
    config: TrainConfig,
    folder: Path,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
    shape: Shape | None = None,
    checkpoint_every: int = 320,
    device: str = "cpu",
) -> Trained:
    """Trains, or continues from the checkpoint in `folder`.

    Args:
        training_set: what is learnt from. development: what is measured while training; never learnt from.
        on_step: called about every 10 steps with the step and running figures.
        shape: of the model, without its vocabulary's size; None: the shipped one's.
        checkpoint_every: steps, rounded up to whole pools.
        device: as torch names it.

    Raises: InputError where the checkpoint is of another configuration, or there is no such device."""
    if device != "cpu" and not torch.cuda.is_available():
        raise InputError(f"--device: {device} is not there (torch {torch.__version__} sees no GPU); allowed here: cpu")

    torch.set_num_threads(1)
    tokenizer = _tokenizer(training_set, folder)
    shape = replace(shape or Shape(), vocabulary=tokenizer.get_vocab_size())
    torch.manual_seed(config.seed)
    run = _Run(PlannerModel(shape, config.dropout).to(device), config, folder)
    encoder = Encoder(tokenizer, config, device)
    sampler = ExampleSampler(training_set, config.seed)
    held = ExampleSampler(development, config.seed)
    drawn = {kind: [held.draw(kind, noisy=False) for _ in range(400)] for kind in ("plan", "verify")}
    drawn["verify"] = [_verdict_alone(example) for example in drawn["verify"]]
    exam = {kind: encoder.encode(examples) for kind, examples in drawn.items()}

    figures = run.figures
    saved = run.step
    while run.step < config.steps:
        for batch in _pool(encoder, sampler, config, run.step):
            loss = run.train(batch)
            if run.step % 10 == 0:
                figures["loss"] = 0.9 * figures.get("loss", loss) + 0.1 * loss
                on_step(run.step, figures)
            if run.step >= config.steps:
                break

        if run.step - saved >= checkpoint_every or run.step >= config.steps:
            saved = run.step
            run.save(_examined(run.averaged(), encoder, exam, figures))

    return Trained(shape, tokenizer, {name: w.cpu().numpy() for name, w in run.average.items()}, figures)


def load_averaged(folder: Path) -> tuple[PlannerModel, Tokenizer]:
    """What a run of the shipped shape has come to: the model with its averaged weights, and its tokenizer."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    model = PlannerModel(replace(Shape(), vocabulary=tokenizer.get_vocab_size())).eval()
    state = load_file(folder / CHECKPOINT)
    model.load_state_dict({n.removeprefix(AVERAGE): w for n, w in state.items() if n.startswith(AVERAGE)})
    return model, tokenizer


def _verdict_alone(example: Example) -> Example:
    """With a right plan in the prompt, not in the answer."""
    given, mark, verdict = example.answer.rpartition(p.ANSWER)
    return Example(example.prompt + given + mark, verdict)


def _tokenizer(training_set: Sequence[AnnotatedPlan], folder: Path) -> Tokenizer:
    path = folder / TOKENIZER
    if not path.exists():
        sentences = (p.clean(text) for annotated in training_set for text in (annotated.goal, *annotated.thoughts))
        write_text_atomic(path, train_tokenizer(sentences).to_str())
    return Tokenizer.from_file(str(path))


def _pool(encoder: Encoder, sampler: ExampleSampler, config: TrainConfig, step: int) -> Iterator[Batch]:
    """The batches from `step` on, the same whenever training comes by there."""
    sampler.restart((config.seed, step), late=step >= LATE_FROM * config.steps)
    torch.manual_seed(config.seed + (step << 32))  # of dropout
    encoded: list[tuple[list[int], int]] = []
    while sum(len(tokens) for tokens, _ in encoded) < POOL_BATCHES * config.batch_tokens:
        encoded += encoder.encode([sampler.draw() for _ in range(512)])
    batches = encoder.batches(encoded, config.batch_tokens)
    order = np.random.default_rng((config.seed, step)).permutation(len(batches))
    return (batches[i] for i in order)


@torch.no_grad()
def _examined(
    model: PlannerModel, encoder: Encoder, exam: dict[str, list[tuple[list[int], int]]], figures: dict[str, float]
) -> dict[str, float]:
    model.eval()
    for kind, encoded in exam.items():
        hits = []
        for batch in encoder.batches(encoded, 4096):
            with torch.autocast(batch.ids.device.type, torch.bfloat16):
                hits.append(batch_loss(model, batch)[1])
        figures[f"development_{kind}"] = float(torch.cat(hits).mean())
    return figures


class _Run:
    """Weights, their average, the optimiser's state and the step: what a checkpoint holds."""

    def __init__(self, model: PlannerModel, config: TrainConfig, folder: Path) -> None:
        self.model = model
        self.config = config
        self.folder = folder
        self.step = 0
        self.figures: dict[str, float] = {}
        decayed = [w for w in model.parameters() if w.ndim == 2]
        rest = [w for w in model.parameters() if w.ndim != 2]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), fused=True)
        self.average = {name: w.detach().clone() for name, w in model.named_parameters()}
        if self._json.exists():
            self._load()

    def train(self, batch: Batch) -> float:
        """One step."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self._rate()
        with torch.autocast(batch.ids.device.type, torch.bfloat16):
            loss, _ = batch_loss(self.model, batch)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1

        keep = min(self.config.ema, self.step / (self.step + 10))
        with torch.no_grad():
            weights = dict(self.model.named_parameters())
            torch._foreach_lerp_(list(self.average.values()), [weights[n] for n in self.average], 1 - keep)
        return loss.item()

    def averaged(self) -> PlannerModel:
        """A copy of the model with the averaged weights."""
        model = PlannerModel(self.model.shape).to(self.model.output_norm.weight.device)
        model.load_state_dict(self.average)
        return model

    def save(self, figures: dict[str, float]) -> None:
        state: dict[str, Tensor] = {}
        for name, weight in self.model.named_parameters():
            moments = self.optimizer.state[weight]
            state |= {name: weight.detach(), f"{AVERAGE}{name}": self.average[name]}
            state |= {f"{key}.{name}": moments[key] for key in ("exp_avg", "exp_avg_sq")}
        write_bytes_atomic(self.folder / CHECKPOINT, save(state))
        write_json_atomic(self._json, {"step": self.step, "config": asdict(self.config), "figures": figures})

    @property
    def _json(self) -> Path:
        return self.folder / "checkpoint.json"

    def _load(self) -> None:
        stored: dict[str, Any] = read_json(self._json, "planner checkpoint")
        config = asdict(self.config)

        # Before the learning rate falls, how many steps there will be makes no difference.
        if stored["step"] <= (1 - self.config.decay_share) * min(stored["config"]["steps"], self.config.steps):
            stored["config"]["steps"] = self.config.steps
        if stored["config"] != config:
            raise InputError(
                f"planner checkpoint: {self._json} is of another configuration; give the same options or another --out"
            )

        state = load_file(self.folder / CHECKPOINT)
        self.step = int(stored["step"])
        self.figures = stored["figures"]
        for name, weight in self.model.named_parameters():
            weight.data.copy_(state[name])
            self.average[name].copy_(state[f"{AVERAGE}{name}"])
            self.optimizer.state[weight] = {
                "step": torch.tensor(float(self.step), device=weight.device),
                **{key: state[f"{key}.{name}"].to(weight.device, copy=True) for key in ("exp_avg", "exp_avg_sq")},
            }

    def _rate(self) -> float:
        """Warm-up, constant, linear to zero."""
        left = (self.config.steps - self.step) / max(1.0, self.config.decay_share * self.config.steps)
        return min((self.step + 1) / self.config.warmup, 1.0, max(left, 0.0))
