#!/usr/bin/env bash
# OpenCV 5.0.0: a rectified image depends on the format of the rectification maps. With OpenCV 4.12.0 it did not.
#
# Guess: cv2.remap(INTER_LINEAR) gives the same image from float maps (CV_32FC1) and from the same maps after
# cv2.convertMaps(..., CV_16SC2), which the documentation recommends for speed: 4.x rounded float maps to 1/32 pixel too.
#
# Seen: with 4.12.0 the two images are equal, byte for byte. With 5.0.0.93 float maps are interpolated at full precision,
# fixed-point maps still at 1/32 pixel: about a tenth of the pixels differ, by one grey level on a
# smooth image (by up to three on a photograph). The image from fixed-point
# maps is still the one of 4.12.0.
#
# Why it matters: a node that rectifies with float maps delivers other images to a stereo matcher after the update than
# those that its thresholds were tuned on, and a recorded bag no longer reproduces bit by bit. Convert the maps to
# CV_16SC2 to keep the old images.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.12.0.88 5.0.0.93; do
  python3 -m pip install --quiet --target "$folder/$version" "opencv-python-headless==$version" "numpy>=2,<2.3"
done

cat >"$folder/rectify.py" <<'PYTHON'
import sys
import cv2
import numpy as np

rng = np.random.default_rng(0)
image = cv2.GaussianBlur(rng.integers(0, 256, (480, 640), np.uint8), (5, 5), 1.0)
camera = np.array([[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]])
distortion = np.array([-0.3, 0.1, 0.001, -0.001, 0.0])
x, y = cv2.initUndistortRectifyMap(camera, distortion, None, camera, (640, 480), cv2.CV_32FC1)
fixed, fraction = cv2.convertMaps(x, y, cv2.CV_16SC2)
from_float = cv2.remap(image, x, y, cv2.INTER_LINEAR)
from_fixed = cv2.remap(image, fixed, fraction, cv2.INTER_LINEAR)
np.save(sys.argv[1], np.stack([from_float, from_fixed]))
PYTHON
for version in 4.12.0.88 5.0.0.93; do
  PYTHONPATH="$folder/$version" python3 "$folder/rectify.py" "$folder/$version.npy"
done

PYTHONPATH="$folder/4.12.0.88" python3 - "$folder" <<'PYTHON'
import sys
import numpy as np

old, new = (np.load(f"{sys.argv[1]}/{v}.npy").astype(int) for v in ("4.12.0.88", "5.0.0.93"))
share = float((new[0] != new[1]).mean())
print(f"4.12.0: {(old[0] != old[1]).mean():.3f} of the pixels depend on the format of the maps")
print(f"5.0.0:  {share:.3f}, by up to {abs(new[0] - new[1]).max()} grey levels")
print(f"fixed-point maps, 4.12.0 against 5.0.0: {(old[1] != new[1]).mean():.3f}")
assert (old[0] == old[1]).all(), "4.12.0 no longer behaves as described"
assert share > 0.01, "5.0.0 no longer behaves as described"
assert (old[1] == new[1]).all(), "images from fixed-point maps differ between the versions"
print("as described")
PYTHON
