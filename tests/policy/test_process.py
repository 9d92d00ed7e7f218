"""The policy's worker process: right answers, deadlines, death, silence, folders that are no policies."""

import json
import math
import os
import shutil
import signal
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from own_parts import Dial

from rarrl import worker_process
from rarrl.errors import InputError
from rarrl.files import sha256
from rarrl.policy.base import Observation
from rarrl.policy.process import PolicySettings, ProcessPolicy, check_served
from rarrl.policy.serve import CARD, GGUF, MODELS, OUTER, LlamaPolicy
from rarrl.types import CallStatus
from rarrl.worker_process import CallFailedError

pytest.importorskip("llama_cpp")
SHIPPED = MODELS / "policy_metaworld"


def observation(seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "images": rng.integers(0, 256, (2, 64, 64, 3), np.uint8),
        "proprio": np.array([0.0, 0.6, 0.2, 1.0], np.float32),
        "instruction": "open the drawer",
        "observed_at": 3.25,
    }
    return Observation(**{**values, **changes})


def infer(policy, seconds=20.0, **changes):
    return policy.infer(observation(**changes), time.monotonic() + seconds)


def eventually(action, seconds=30.0):
    """Its result, once the policy is not down any more."""
    end = time.monotonic() + seconds
    while True:
        try:
            return action()
        except CallFailedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


@pytest.fixture(scope="module")
def served():
    with ProcessPolicy(PolicySettings(SHIPPED)) as policy:
        yield policy


@pytest.fixture
def own(tmp_path):
    """A policy on a folder of its own."""
    shutil.copytree(SHIPPED, tmp_path / "policy")
    with ProcessPolicy(PolicySettings(tmp_path / "policy")) as policy:
        policy.folder = tmp_path / "policy"
        yield policy


def test_it_answers_what_the_policy_answers(served):
    with LlamaPolicy(SHIPPED) as here:
        assert served.spec == here.spec
        for seed in range(3):
            there = infer(served, seed=seed)
            assert np.array_equal(there.actions, here.infer(observation(seed)).actions)
            assert there.actions.dtype == np.float32
            assert (there.observed_at, there.dt) == (3.25, pytest.approx(1 / 80))


@pytest.mark.parametrize(
    "changes",
    [
        {"proprio": np.array([0.0, 0.6, np.nan, 1.0], np.float32)},
        {"proprio": np.zeros(3, np.float32)},
        {"images": np.zeros((1, 64, 64, 3), np.uint8)},
        {"instruction": "one two three four five six seven eight"},
        {"instruction": "x" * 10_000},
    ],
)
def test_an_observation_that_does_not_fit_is_refused_and_harms_nobody(served, changes):
    with pytest.raises(CallFailedError) as failed:
        infer(served, **changes)
    assert failed.value.status is CallStatus.REFUSED and str(failed.value)
    assert infer(served).actions.shape == (8, 4)
    assert served.restarts == 0


def test_a_deadline_that_cannot_be_met_is_a_timeout(served):
    with pytest.raises(CallFailedError) as failed:
        infer(served, seconds=0.001)
    assert failed.value.status is CallStatus.TIMEOUT
    assert eventually(lambda: infer(served)).actions.shape == (8, 4)


def test_killed_it_is_down_and_comes_back(own):
    os.kill(own.pid, signal.SIGKILL)
    with pytest.raises(CallFailedError) as failed:
        for _ in range(1000):
            infer(own, seconds=0.05)
    assert failed.value.status in (CallStatus.BACKEND_DOWN, CallStatus.TIMEOUT)
    assert np.array_equal(eventually(lambda: infer(own)).actions, infer(own).actions)
    assert own.restarts == 1


def test_stopped_it_is_noticed_by_a_ping_and_started_again(own, monkeypatch):
    monkeypatch.setattr(worker_process, "WEDGED_S", 0.05)
    stopped = own.pid
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(CallFailedError) as failed:
        own.ping(time.monotonic() + 0.1)
    assert failed.value.status is CallStatus.TIMEOUT
    eventually(lambda: own.ping(time.monotonic() + 20.0))
    assert own.pid != stopped and own.restarts == 1


def test_another_policy_in_the_folder_is_not_taken_for_the_first(own):
    card = json.loads((own.folder / CARD).read_text("utf-8"))
    card["spec"]["action_names"] = ["dy", "dx", "dz", "gripper"]
    (own.folder / CARD).write_text(json.dumps(card), "utf-8")
    infer(own)
    os.kill(own.pid, signal.SIGKILL)
    with pytest.raises(CallFailedError, match="another policy"):
        for _ in range(1000):
            try:
                infer(own)
                time.sleep(0.01)
            except CallFailedError as error:
                if error.status is CallStatus.INVALID:
                    raise


def test_the_process_ends_with_the_policy(own):
    pid = own.pid
    own.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(CallFailedError):
        infer(own, seconds=0.1)


def change(folder, name, data, sealed=True):
    (folder / name).write_bytes(data)
    if sealed:
        card = json.loads((folder / CARD).read_text("utf-8"))
        card["files"][name] = sha256(data)
        (folder / CARD).write_text(json.dumps(card), "utf-8")


@pytest.mark.parametrize(
    ("name", "spoil", "sealed", "says"),
    [
        (GGUF, lambda data: data[:5000], True, "not a whole GGUF file"),
        (GGUF, lambda data: data[:-4] + b"\x00\x00\xc0\x7f", True, "NaN or infinity"),
        (
            GGUF,
            lambda data: data.replace(b"llama.block_count", b"llama.block_cuont"),
            True,
            "llama.block_count must be",
        ),
        (GGUF, lambda data: data[:-1] + b"\x01", False, "does not match the hash"),
        (OUTER, lambda data: (1 << 40).to_bytes(8, "little") + data[8:], True, "not a safetensors file"),
        (CARD, lambda data: data.replace(b'"width": 256', b'"width": 512'), False, "the card asks for"),
        (CARD, lambda data: b"{}", False, "no card of a policy"),
    ],
)
def test_a_bad_folder_is_one_clear_line_here(tmp_path, name, spoil, sealed, says):
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED, folder)
    change(folder, name, spoil((folder / name).read_bytes()), sealed)
    with pytest.raises(InputError, match=says) as error:
        ProcessPolicy(PolicySettings(folder))
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


# Policies of a user, with their own mistakes

MOODY = r"""
import os, sys
import numpy as np
from dataclasses import replace
from own_parts import Dial


class Moody(Dial):
    def infer(self, observation, stop=None):
        chunk = super().infer(observation, stop)
        match observation.instruction:
            case "raise": raise RuntimeError("the arm is\nin the way")
            case "none": return None
            case "exit": sys.exit("enough")
            case "words": return replace(chunk, actions="left")
            case "nan": return replace(chunk, dt=float("nan"))
            case "die":
                sys.stderr.write("Traceback (most recent call last):\n" + "  frame\n" * 100 + "Boom: at last\n")
                sys.stderr.flush()
                os._exit(3)
        return chunk


class Blind(Moody):
    spec = replace(Dial.spec, cameras=())

    def infer(self, observation, stop=None):
        assert observation.images.shape == (0, 32, 32, 3)
        return super().infer(replace(observation, images=np.full((1, 32, 32, 3), 255, np.uint8)), stop)


class Hasty(Dial):
    spec = replace(Dial.spec, control_hz=1e9)


class Quits(Dial):
    def __init__(self):
        sys.exit("no licence")


class Breaks(Dial):
    def __init__(self):
        raise LookupError("no such arm")
"""


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    """Makes a policy of MOODY by the name of its class."""
    (tmp_path / "moody.py").write_text(MOODY, "utf-8")
    here = str(Path(__file__).resolve().parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), here, os.environ.get("PYTHONPATH", "")]))
    made = []

    def make(name):
        made.append(ProcessPolicy(PolicySettings(f"moody:{name}")))
        return made[-1]

    yield make
    for policy in made:
        policy.close()


def ask(policy, instruction, cameras=1):
    asked = Observation(np.full((cameras, 32, 32, 3), 255, np.uint8), np.zeros(1, np.float32), instruction, 1.0)
    return policy.infer(asked, time.monotonic() + 20.0)


def test_what_a_users_policy_raises_is_refused_with_its_cause_and_it_stays_loaded(own_code):
    policy = own_code("Moody")
    for instruction, says in (
        ("raise", "RuntimeError: the arm is in the way"),
        ("none", "AttributeError: 'NoneType' object has no attribute 'actions'"),
        ("exit", "SystemExit: enough"),
        ("words", "ValueError: could not convert string to float: 'left'"),
    ):
        with pytest.raises(CallFailedError) as failed:
            ask(policy, instruction)
        assert (failed.value.status, str(failed.value)) == (CallStatus.REFUSED, says)
    with pytest.raises(CallFailedError, match="dt = nan") as failed:
        ask(policy, "nan")
    assert failed.value.status is CallStatus.INVALID
    assert ask(policy, "go").actions[0].tolist() == [0.25, 1.0]
    assert policy.restarts == 0


def test_a_worker_that_dies_says_its_own_status_and_the_last_line_of_its_errors(own_code):
    policy = own_code("Moody")
    with pytest.raises(CallFailedError) as failed:
        ask(policy, "die")
    assert failed.value.status is CallStatus.BACKEND_DOWN
    assert str(failed.value).startswith("the worker process ended with status 3 (")
    assert str(failed.value).endswith("frame Boom: at last); it is being restarted")
    assert len(str(failed.value)) < 290  # whole in the diagnostics
    assert eventually(lambda: ask(policy, "go")).actions.shape == (4, 2)


def test_a_policy_without_cameras_is_served(own_code):
    policy = own_code("Blind")
    assert policy.spec.cameras == ()
    assert ask(policy, "go", cameras=0).actions[0].tolist() == [0.25, 1.0]


@pytest.mark.parametrize(("name", "says"), [("Quits", "no licence"), ("Breaks", "LookupError: no such arm")])
def test_a_users_constructor_that_fails_is_one_clear_line(own_code, name, says):
    with pytest.raises(InputError, match=says) as error:
        own_code(name)
    assert "\n" not in str(error.value) and "ended with" not in str(error.value)
    assert f"moody:{name}" in str(error.value)


def test_a_rate_that_the_worker_sends_is_checked_on_this_side(own_code):
    with pytest.raises(InputError) as error:
        own_code("Hasty")
    assert str(error.value) == (
        "policy: control_hz: 1e+09 is not allowed (allowed: 0.1 to 1000 Hz) (in the policy moody:Hasty)"
    )


TOY = """
import json, sys, time
print(json.dumps({"ready": {"kind": "toy"}}), flush=True)
sys.stdin.readline()
asked = json.loads(sys.stdin.readline())
if asked["op"] == "garbage":
    print("hello", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("op", "says"),
    [
        ("garbage", "the worker sent what is no answer and was killed"),
        ("hang", "the worker did not answer and was killed"),
    ],
)
def test_a_worker_that_is_killed_is_not_said_to_have_ended_by_itself(tmp_path, monkeypatch, op, says):
    (tmp_path / "toy.py").write_text(TOY, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(worker_process, "WEDGED_S", 0.05)
    worker = worker_process.WorkerProcess(worker_process.WorkerCommand("toy", ("toy",), {}, 20.0, 4096, ""))
    try:
        with pytest.raises(CallFailedError):
            worker.call(op, time.monotonic() + (0.1 if op == "hang" else 5.0))
        end = time.monotonic() + 5.0
        why = ""
        while says not in why and time.monotonic() < end:
            with pytest.raises(CallFailedError) as failed:
                worker.call("again", time.monotonic() + 0.01)
            why = str(failed.value)
        assert why == f"{says}; it is being restarted"
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"control_hz": 0.0}, "control_hz: 0 is"),
        ({"control_hz": math.nan}, "control_hz: nan is"),
        ({"control_hz": -5.0}, "control_hz: -5 is"),
        ({"control_hz": 1e9}, r"control_hz: 1e\+09 is"),
        ({"horizon": 0}, "horizon must be a whole number of at least 1, got 0"),
        ({"action_names": ()}, "action_names must hold at least one name"),
        ({"action_names": ("x", "x")}, "action_names: 'x' is there twice"),
        ({"cameras": ("",)}, "cameras: one is empty"),
        ({"proprio_scale": (1.0, 1.0)}, "proprio_scale must hold 1 numbers"),
        ({"control_hz": 0.05}, "control_hz: 0.05 is not allowed"),
        ({"cameras": ("front", "front")}, "cameras: 'front' is there twice"),
        ({"action_high": (math.inf, 1.0)}, "action_high must be a tuple of finite numbers"),
    ],
)
def test_a_spec_is_checked_here_whatever_the_worker_sends(changes, says):
    check_served(Dial.spec)
    spec = SimpleNamespace(**{**asdict(Dial.spec), **changes})
    with pytest.raises(InputError, match=says) as error:
        check_served(spec)
    assert "\n" not in str(error.value) and str(error.value).startswith("policy: ")


def test_one_that_never_finishes_loading_is_given_up():
    with pytest.raises(InputError, match=r"not loaded within 0\.01 s"):
        ProcessPolicy(PolicySettings(SHIPPED, load_s=0.01))
