#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: a picture that is moved by a tenth of a pixel with INTER_CUBIC moves by more.
#
# Guess:    who makes a pair of cameras that is out of line by 0.1 row, to try a calibration monitor, takes the better
#           interpolation: INTER_CUBIC moves a picture by what was asked, and blurs less than INTER_LINEAR.
# Seen:     measured by least squares on smooth noise, INTER_LINEAR gives 0.10 and 0.20 px for 0.1 and 0.2, INTER_LANCZOS4
#           .102 to .105 and .20 to .21; INTER_CUBIC (its kernel has a = -0.75, not Catmull and Rom's -0.5) gives .14 and
#           .25 to .26. At 0.5 px it is nearly right.
# So what:  sub-pixel ground truth that was made with INTER_CUBIC is biased by as much as the effect; take INTER_LINEAR
#           or INTER_LANCZOS4 and check with a known shift.
#
# Exits with 0 while this holds, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-$folder/venv/bin/python}
if [ -z "${FINDING_PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  "$python" -m pip install --quiet "opencv-python-headless==5.0.0.93" "numpy==2.4.6"
fi

cd "$folder"
"$python" - <<'PYTHON'
import sys

import cv2
import numpy as np

rng = np.random.default_rng(0)
noise = rng.normal(size=(400, 400))


def smooth(sigma: float) -> np.ndarray:
    picture = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.float32(128 + 40 * picture / picture.std())


def moved_by(picture: np.ndarray, shift: float, flag: int) -> float:
    """Pixels by which the rows have moved, by least squares on the gradient."""
    move = np.float64([[1, 0, 0], [0, 1, shift], [0, 0, 1]])
    other = cv2.warpPerspective(picture, move, picture.shape[::-1], flags=flag)
    inner = (slice(20, -20), slice(20, -20))
    # against the picture moved by whole pixels, half on each side: a central gradient
    gradient = (np.roll(picture, 1, 0) - np.roll(picture, -1, 0))[inner] / 2
    step = (other - picture)[inner]
    return float((step * gradient).sum() / (gradient * gradient).sum())


found = {}
for sigma in (1.5, 3.0):
    picture = smooth(sigma)
    for name in ("INTER_LINEAR", "INTER_CUBIC", "INTER_LANCZOS4"):
        row = [round(moved_by(picture, shift, getattr(cv2, name)), 3) for shift in (0.1, 0.2, 0.5)]
        found[sigma, name] = row
        print(f"detail of {sigma} px, {name}: asked for 0.1, 0.2, 0.5, moved by {row}")
linear, cubic = found[3.0, "INTER_LINEAR"], found[3.0, "INTER_CUBIC"]
holds = abs(linear[0] - 0.1) < 0.01 and cubic[0] > 1.2 * linear[0] and cubic[1] > 1.1 * linear[1]
sys.exit(0 if holds else 1)
PYTHON
