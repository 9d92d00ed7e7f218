"""Predicts which image patches matter for an instruction and a pose, before the convolutions are computed.

The idea follows HeatViT (Dong et al. 2023, arXiv 2211.08110) and SQAP-VLA, which prune tokens that were computed
already. Here two small layers see only the words and the proprioception; they learn from the gradient of the actions
with respect to each patch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from rarrl.errors import InputError
from rarrl.files import read_file, sha256, write_bytes_atomic
from rarrl.policy.spec import PAD, PolicySpec

MAX_BYTES = 16_000_000
FILE = "relevance.safetensors"
"""Name of the weights' file in a policy's folder."""
HIDDEN = 64
"""Width of the hidden layer. Chosen by hand."""


class Relevance:
    """Scores patches. weights: the tensors that `relevance_shapes` names, float32."""

    def __init__(self, spec: PolicySpec, weights: dict[str, np.ndarray]) -> None:
        self._spec = spec
        self._weights = weights
        self._words = np.empty(0, np.int64)
        self._bag = np.empty((1, 0), np.float32)

    def scores(self, words: np.ndarray, proprio: np.ndarray) -> np.ndarray:
        """Returns (n, patches) float32: the logarithm of each patch's share, up to a constant per row.

        Args:
            words: (n, max_words) indices of rows of the word table
            proprio: (n, p) float32, scaled as the network sees it
        """
        return self._scores(self._bag_of(words), proprio)

    def best(self, words: np.ndarray, proprio: np.ndarray, count: int) -> np.ndarray:
        """Returns the `count` most relevant patches, (count,), as rising indices.

        words: (max_words,); what they bring is kept for the next call. proprio: (p,) float32, scaled."""
        if not np.array_equal(words, self._words):
            self._words, self._bag = words.copy(), self._bag_of(words[None])
        scores = self._scores(self._bag, proprio[None])[0]
        return np.sort(np.argpartition(-scores, count - 1)[:count])

    def _bag_of(self, words: np.ndarray) -> np.ndarray:
        """The mean over the words of their rows in the table: the first layer of a bag of words."""
        given = words != PAD
        return (self._weights["word.weight"][words] * given[:, :, None]).sum(axis=1) / given.sum(axis=1, keepdims=True)

    def _scores(self, bag: np.ndarray, proprio: np.ndarray) -> np.ndarray:
        weights = self._weights
        hidden = np.maximum(bag + proprio @ weights["proprio.weight"].T + weights["proprio.bias"], 0)
        return hidden @ weights["out.weight"].T + weights["out.bias"]

    def save(self, folder: Path) -> str:
        """Writes the file and returns its hash for the card."""
        data = save_safetensors({name: np.ascontiguousarray(value) for name, value in self._weights.items()})
        write_bytes_atomic(folder / FILE, data)
        return sha256(data)


def relevance_shapes(spec: PolicySpec) -> dict[str, tuple[int, ...]]:
    """Returns name -> shape for every tensor of the file."""
    p = len(spec.proprio_names)
    n = spec.image_tokens

    return {
        "word.weight": (2 + len(spec.vocabulary), HIDDEN),
        "proprio.weight": (HIDDEN, p),
        "proprio.bias": (HIDDEN,),
        "out.weight": (n, HIDDEN),
        "out.bias": (n,),
    }


def load_relevance(folder: Path, spec: PolicySpec, digest: str | None = None) -> Relevance:
    """Reads the weights in a policy's folder. digest: the sha256 in the card; None: it is not checked.

    Raises: InputError for a missing file, a wrong hash, other names or shapes, and NaN."""
    path = folder / FILE
    data = read_file(path, "policy", MAX_BYTES)
    if digest is not None and sha256(data) != digest:
        raise InputError(f"policy: {path} does not match the hash in the card: the file is damaged or was changed")

    try:
        weights = load_safetensors(data)
    except Exception as error:  # the reader raises several kinds for one thing: not our file
        raise InputError(f"policy: {path} is not a safetensors file ({type(error).__name__})") from None

    if {name: array.shape for name, array in weights.items()} != relevance_shapes(spec):
        raise InputError(f"policy: {path} is of another policy; train it again with `rarrl train policy-speed`")

    for name, array in weights.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InputError(f"policy: {path}: {name} must be finite float32; train it again")

    return Relevance(spec, weights)
