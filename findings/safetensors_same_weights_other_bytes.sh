#!/usr/bin/env bash
# safetensors 0.8.0: the same tensors with the same metadata are files of different bytes, from one save to the next.
#
# Guess:    `save_file` is a function of its arguments: equal weights give equal files, so a sha256 on a model card, or a
#           cache by content, says whether weights are the same.
# Seen:     with two or more entries of metadata their order in the header changes from save to save, within one process
#           too; tensors are in a fixed order. Without metadata, or with one entry, the bytes are equal.
# So what:  hash the tensors, not the file, where "the same weights" is asked; or keep one entry of metadata that holds all
#           others as JSON with sorted keys.
#
# Exits with 0 while this holds, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "safetensors==0.8.0" "numpy>=2,<3"
"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import sys

import numpy as np
from safetensors.numpy import load, save

weights = {"layer.weight": np.ones((2, 2), np.float32), "layer.bias": np.zeros(2, np.float32)}
several = {"name": "gate", "seed": "3", "steps": "4000", "data": "train", "features": "steps"}


def files(metadata):
    return {hashlib.sha256(save(weights, metadata)).hexdigest() for _ in range(40)}


none, one, many = files(None), files({"all": "{}"}), files(several)
print(f"different files of 40 saves: {len(none)} without metadata, {len(one)} with one entry, {len(many)} with five")
same = all((load(save(weights, several))[name] == value).all() for name, value in weights.items())
holds = len(none) == len(one) == 1 and len(many) > 1 and same
print("as found" if holds else "this has changed")
sys.exit(not holds)
PYTHON
