"""Quantizes an action policy's transformer to 3 bits a weight, spent where the actions need them.

Needs: pip install 'rarrl[train,llama]'. Run: python examples/quantize_a_gguf.py [--quick]
It takes a minute and a half on an idle core and up to four on a busy one; --quick about ten seconds.
You see: the file's size before and after, and how far the actions move on pictures that the calibration did not see,
for a calibrated method and for one without calibration. The model is the shipped tabletop policy; the calibration
frames are random pictures here, with the policy's own answers as targets. Frames of real demonstrations are worth more:
`rarrl data record` records them, `rarrl quantize` reads them (docs/explanation/quantization.md).
"""

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from rarrl import Observation
from rarrl.llama.gguf import read_gguf
from rarrl.policy.serve import GGUF, MODELS, LlamaPolicy, embed, load_card, load_outer
from rarrl_learning.quantize.calibration import Calibration, Head
from rarrl_learning.quantize.quantize import llama_cpp_actions, quantize_model, write_quantized

FOLDER = MODELS / "policy_tabletop"
FRAMES = 64  # half of them calibrate, half judge
METHOD = "flat" if "--quick" in sys.argv else "tuned"  # seconds, or a minute and a half on one core
BITS = 3.0  # per weight of the transformer's linear layers


def make_frames() -> Calibration:
    """Embeddings of blotchy random pictures, with the actions that the unquantized policy answers."""
    spec, hashes = load_card(FOLDER)
    weights = load_outer(FOLDER, spec, hashes)
    rng = np.random.default_rng(0)
    inputs, targets = [], []

    with LlamaPolicy(FOLDER) as policy:
        for _ in range(FRAMES):
            coarse = rng.integers(0, 256, (len(spec.cameras), 8, 8, 3), dtype=np.uint8)
            pictures = np.stack([cv2.resize(image, (spec.image_size, spec.image_size)) for image in coarse])
            proprio = rng.normal(spec.proprio_mean, spec.proprio_scale).astype(np.float32)
            words = " ".join(rng.choice(spec.vocabulary, 4, replace=False))
            seen = Observation(pictures, proprio, words)
            inputs.append(np.concatenate(embed(spec, weights, seen)))
            targets.append(policy.scaled(seen))

    layers = tuple((weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in ("head_in", "head_out"))
    first_action = sum(spec.blocks) - spec.horizon
    episodes = np.arange(FRAMES)  # each picture is an episode of its own
    return Calibration(np.stack(inputs), np.stack(targets), Head(layers, "relu"), spec.blocks, first_action, episodes)


def main() -> None:
    original = read_gguf(FOLDER / GGUF)
    used, unseen = make_frames().split(FRAMES // 2, seed=0)
    print(f"before: {original.path.stat().st_size / 1e6:.2f} MB, actions span -1 to 1")

    with tempfile.TemporaryDirectory() as folder:
        for method in (METHOD, "plain"):
            path = Path(folder) / f"{method}.gguf"
            write_quantized(path, original, quantize_model(original, used, BITS, method))
            error = np.abs(llama_cpp_actions(path, unseen) - unseen.targets).mean()
            print(f"{method}: {path.stat().st_size / 1e6:.2f} MB, actions move by {error:.4f} in the mean")


if __name__ == "__main__":
    main()
