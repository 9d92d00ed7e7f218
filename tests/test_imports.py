"""What a process of the robot may not load: each such package costs it memory and time at every start."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = (
    "torch",
    "scipy",
    "matplotlib",
    "pandas",
    "sklearn",
    "gymnasium",
    "stable_baselines3",
    "mujoco",
    "tensorboard",
    "numba",
    "PIL",
    "jinja2",
    "rich",
    "typer",
    "llama_cpp",
    "gguf",
    "ssl",
    "unittest",
    "rarrl_sim_envs",
    "rarrl_learning",
    "rarrl.cli",
    "rarrl.report",
    "rarrl_nodes.faults.station",
)
"""No process of the robot loads these as it starts; what a setting asks for, it imports then."""
SIGHT = ("cv2", "rarrl.perception", "rarrl.policy")
"""For those that look at pictures, and nobody else."""
THOUGHT = ("rarrl.reasoner", "rarrl.executive", "rarrl.orchestrator", "rarrl.decision_loop", "rarrl.alfred")
"""For those that decide."""
PROCESSES = {
    "rarrl_nodes.deadman_node": (*SIGHT, *THOUGHT),
    "rarrl_nodes.safety_gate_node": (*SIGHT, *THOUGHT),
    "rarrl_nodes.supervisor": (*SIGHT, *THOUGHT),
    "rarrl_nodes.stereo_voxel_node": ("rarrl.policy", *THOUGHT),
    "rarrl_nodes.vla_policy_node": THOUGHT,
    "rarrl_nodes.orchestrator_node": SIGHT,
    "rarrl_nodes.executive_node": SIGHT,
    "rarrl.policy.worker": ("rclpy", "rarrl.perception", *THOUGHT),
    "rarrl.reasoner.worker": ("rclpy", *SIGHT),
}
"""Process -> what it may not load beside those."""


def loaded(module: str, names: tuple[str, ...]) -> list[str]:
    """Those of `names` that a fresh process holds after importing `module`."""
    code = f"import {module}, sys; print(*sorted(set(sys.modules) & {set(names)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.parametrize("module", PROCESSES)
def test_a_process_of_the_robot_loads_only_what_it_uses(module):
    if module.startswith("rarrl_nodes"):
        pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
    assert loaded(module, (*NOWHERE, *PROCESSES[module])) == []


def test_the_check_can_say_no():
    assert loaded("rarrl.perception.classical", ("cv2", "torch")) == ["cv2"]
