"""What a policy takes and gives: the sizes, words and scales that are kept beside its weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rarrl.llama.shape import LlamaShape
from rarrl.policy.base import checked_words

PAD = 0
"""Row of the word table that fills a short instruction up; it is part of the trained weights."""
UNKNOWN = 1
"""Row of the word table for a word that is not in the vocabulary."""


class PolicySpec(BaseModel):
    """Sizes, words and scales. The transformer's sequence is [words | image patches | proprioception, action slots].

    proprio_mean, proprio_scale: the network sees (proprio - mean) / scale.
    fused_attention: whether it is served with llama.cpp's flash attention, as it was measured (`LlamaRuntime`).
    action_low, action_high: the 1 % and 99 % quantiles of the training actions, which the network sees as -1 and 1.
    control_hz: rows of an action chunk per second. image_size: pixels of a side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocabulary: tuple[str, ...] = Field(max_length=10_000)
    max_words: int = Field(8, ge=1, le=64)
    cameras: tuple[str, ...] = Field(min_length=1, max_length=8)
    image_size: int = Field(64, ge=32, le=256, multiple_of=16)
    proprio_names: tuple[str, ...] = Field(min_length=1, max_length=64)
    proprio_mean: tuple[float, ...]
    proprio_scale: tuple[float, ...]
    action_names: tuple[str, ...] = Field(min_length=1, max_length=64)
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    horizon: int = Field(8, ge=1, le=64)
    control_hz: float = Field(gt=0, le=1000)
    layers: int = Field(3, ge=1, le=32)
    width: int = Field(256, ge=256, le=2048, multiple_of=256)
    heads: int = Field(4, ge=1, le=32)
    ffn: int = Field(512, ge=256, le=8192, multiple_of=256)
    fused_attention: bool = False

    @model_validator(mode="after")
    def _fits(self) -> PolicySpec:
        for what in ("proprio", "action"):
            names = getattr(self, f"{what}_names")
            for part in ("mean", "scale") if what == "proprio" else ("low", "high"):
                values = np.array(getattr(self, f"{what}_{part}"))
                if len(values) != len(names) or not np.isfinite(values).all():
                    raise ValueError(f"{what}_{part} must hold {len(names)} finite numbers, got {values.tolist()}")

        if min(self.proprio_scale) <= 0 or any(
            low >= high for low, high in zip(self.action_low, self.action_high, strict=True)
        ):
            raise ValueError("proprio_scale must be > 0 and action_low < action_high")
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError("vocabulary holds a word twice")
        return self

    @property
    def image_tokens(self) -> int:
        """The number of image tokens of all cameras, one for each 16 x 16 pixels."""
        return len(self.cameras) * (self.image_size // 16) ** 2

    @property
    def blocks(self) -> tuple[int, int, int]:
        """Numbers of tokens: words, images, then proprioception and action slots. A block sees itself and those
        before."""
        return self.max_words, self.image_tokens, 1 + self.horizon

    @property
    def llama(self) -> LlamaShape:
        """The shape of the transformer."""
        return LlamaShape(self.layers, self.width, self.heads, self.heads, self.ffn, context=sum(self.blocks))

    def words(self, instruction: str, any_words: bool = False) -> np.ndarray:
        """Returns the rows of the word table, (max_words,) int64: PAD fills up, UNKNOWN is a word that is not known.

        any_words: all of them may be unknown, for experiments.

        Raises: InputError for no words, more than `max_words` of them, a text that is too long, or no word that is
            known."""
        found = checked_words(self, instruction, any_words)
        index = {word: i + 2 for i, word in enumerate(self.vocabulary)}
        ids = [index.get(word, UNKNOWN) for word in found]
        return np.array(ids + [PAD] * (self.max_words - len(ids)))

    def scale_proprio(self, proprio: np.ndarray) -> np.ndarray:
        """Converts proprioception from the robot's units to what the network sees, float32."""
        return ((proprio - np.array(self.proprio_mean)) / np.array(self.proprio_scale)).astype(np.float32)

    def scale_actions(self, actions: np.ndarray) -> np.ndarray:
        """Converts actions from the robot's units to the network's, float32."""
        low, high = np.array(self.action_low), np.array(self.action_high)
        return (2 * (actions - low) / (high - low) - 1).astype(np.float32)

    def unscale_actions(self, scaled: np.ndarray) -> np.ndarray:
        """Converts actions from the network's units to the robot's, float32, clipped at the quantiles of training."""
        low, high = np.array(self.action_low), np.array(self.action_high)
        return (low + (np.clip(scaled, -1, 1) + 1) / 2 * (high - low)).astype(np.float32)


@dataclass(frozen=True)
class TaskInfo:
    """What training must know about a task.

    instructions: paraphrases that are trained on. scene: tasks of one scene look alike. opposite: the task of the same
    scene that undoes this one, or an empty text."""

    name: str
    instructions: tuple[str, ...]
    scene: str
    opposite: str


@dataclass(frozen=True)
class RobotInfo:
    """What a robot's observations and actions consist of. control_hz: rows of an action chunk per second."""

    cameras: tuple[str, ...]
    proprio_names: tuple[str, ...]
    action_names: tuple[str, ...]
    control_hz: float
