"""Packaging for pip and for colcon (ament_python).

`src/` holds links to the four packages under their installed names. An editable installation is then one folder on the
path, which a folder named `rarrl` in the working directory, such as the clone itself, cannot hide."""

import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def version() -> str:
    """`rarrl.__version__`, without importing rarrl."""
    found = re.search(r'^__version__ = "([^"]+)"$', (HERE / "rarrl/__init__.py").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError("rarrl/__init__.py holds no __version__")
    return found.group(1)


# PyPI holds ROS 2 for x86-64 Linux only; one unpinned name would mix two ROS releases. On a robot rclpy comes
# from the ROS installation: leave this extra out there (`rarrl doctor` says so).
ROS_MARKER = '; sys_platform == "linux" and platform_machine == "x86_64"'
ROS = [
    "ros-rclpy[fastrtps]==7.1.6",
    "ros-action-msgs==2.0.3",
    "ros-ament-index-python==1.8.1",
    "ros-diagnostic-msgs==5.3.6",
    "ros-geometry-msgs==5.3.6",
    "ros-lifecycle-msgs==2.0.3",
    "ros-nav-msgs==5.3.6",
    "ros-sensor-msgs==5.3.6",
    "ros-std-msgs==5.3.6",
    "ros-std-srvs==5.3.6",
    "ros-trajectory-msgs==5.3.6",
]
# llama-cpp-python is compiled where it is installed: needs a C++ compiler and cmake
LLAMA = ["llama-cpp-python>=0.3.16,<0.4", "gguf>=0.10"]
EXTRAS = {
    "ros": [requirement + ROS_MARKER for requirement in ROS],
    "train": [
        "torch>=2.2,<3",
        "stable-baselines3>=2.3,<3",
        "sb3-contrib>=2.3,<3",
        "tensorboard>=2.15",
        "tqdm>=4.60",
        "tokenizers>=0.19",
        "gguf>=0.10",
    ],
    "llama": LLAMA,
    "demo": [*LLAMA, "mujoco==3.3.0"],  # what `rarrl demo` needs beside the core
    "sim": ["mujoco==3.3.0", "metaworld==3.1.1"],  # metaworld wants exactly this mujoco
    "pyrobosim": ["pyrobosim>=5.0.1,<5.1"],  # the robot that is not ours; it reaches into that version's modules
    # jericho and fast-downward-textworld are compiled where it is installed: 3 to 17 minutes, once
    "alfworld": ["textworld[pddl]>=1.7,<1.8", "alfworld>=0.4.2,<0.5"],
    "miniworld": ["miniworld>=2.1,<2.2"],  # 62 MB with pyglet; draws without a display by EGL
    "irsim": ["ir-sim>=2.12,<2.13"],  # 9 MB with shapely
    # What robosuite and bddl import. They themselves, and LIBERO with its meshes (.54 GB), ask for another OpenCV than
    # the headless one: `make libero` installs them without asking.
    "libero": [
        "mujoco==3.3.0",  # from 3.3.3 on the floor is darker, from 3.4.0 a bowl tips over
        "numba>=0.59",
        "scipy>=1.10",
        "easydict>=1.13,<2",
        "future>=1.0,<2",
        "cloudpickle>=3,<4",
        "termcolor>=2.4,<4",
        "networkx>=3",
        "pillow>=10",
    ],
    "lerobot": ["pyarrow>=15", "av>=12"],  # LeRobot's data sets: 45 MB, and for videos 35
    "serve": ["websockets>=15,<18", "msgpack>=1.0.5,<2"],  # `rarrl serve policy`
    "hub": ["huggingface-hub>=0.30,<3"],  # policies by `hf:ORG/NAME@COMMIT`
    "record": ["mcap>=1.5,<2", "mcap-ros2-support>=0.5.5,<1"],  # bags of rosbag2; 0.5 MB, lz4 and zstandard 30
    "view": ["rerun-sdk>=0.23,<0.42"],  # a recording of a mission to scroll through
    "ray": ["ray>=2.60,<3"],  # `--ray`: the same work on a cluster; 78 MB
    "eval": ["scikit-image>=0.22", "scikit-learn>=1.3"],  # a real stereo pair; the planner's baseline
    "dev": [
        "pytest>=7.4,<9",  # pytest 9 breaks the launch_testing plug-in of ROS 2 Jazzy
        "pytest-xdist>=3.5,<4",
        "hypothesis>=6.90",
        "rosbags>=0.10,<0.12",  # reads and writes bags as others do
        "ruff>=0.9",
        "mypy>=1.11",
        "setuptools>=64",  # the packaging test builds a wheel without the network
        "wheel>=0.40",
        "ros-test-msgs==2.0.3" + ROS_MARKER,  # actions of others, for the tests of skills
    ],
}
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})

setup(
    name="rarrl",
    version=version(),
    description="Lets a robot see, act and decide when to think on the computer that it carries.",
    long_description=(HERE / "README.md").read_text("utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    author="rarrl maintainers",
    author_email="maintainers@rarrl.dev",
    maintainer="rarrl maintainers",
    maintainer_email="maintainers@rarrl.dev",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages("src"),
    package_dir={"": "src"},
    package_data={
        "rarrl": [
            "py.typed",
            "view/*.html",
            *(f"data/**/*.{end}" for end in ("json", "jsonl", "txt", "yaml")),
            *(f"models/**/*.{end}" for end in ("json", "safetensors", "gguf")),
        ],
        "rarrl_learning": [
            "reasoner/injection.json",
            "attacks/*.yaml",
            "attacks/kitchen/*.yaml",
            *(f"{world}/*.{kind}" for world in ("alfworld", "skills") for kind in ("json", "json.gz", "safetensors")),
        ],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/rarrl"]),
        ("share/rarrl", ["package.xml"]),
        ("share/rarrl/launch", sorted(glob("launch/*.launch.py"))),
        ("share/rarrl/config", sorted(glob("config/*.*"))),
        ("share/rarrl/config/nav2", sorted(glob("config/nav2/*"))),
    ],
    install_requires=[
        "numpy>=1.23",
        "pydantic>=2.4,<3",
        "pyyaml>=6",
        "typer>=0.12",
        "rich>=13",
        "safetensors>=0.4",
        "gymnasium>=1.0,<2",
        "matplotlib>=3.7",
        "opencv-python-headless>=4.10",  # the full build needs libGL, which a bare machine lacks
    ],
    extras_require=EXTRAS,
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "rarrl = rarrl.__main__:main",
            "deadman_node = rarrl_nodes.deadman_node:main",
            "executive_node = rarrl_nodes.executive_node:main",
            "orchestrator_node = rarrl_nodes.orchestrator_node:main",
            "replay_node = rarrl_nodes.replay_node:main",
            "safety_gate_node = rarrl_nodes.safety_gate_node:main",
            "sim_robot_node = rarrl_nodes.sim_robot_node:main",
            "supervisor_node = rarrl_nodes.supervisor_node:main",
            "stereo_voxel_node = rarrl_nodes.stereo_voxel_node:main",
            "vla_policy_node = rarrl_nodes.vla_policy_node:main",
        ],
    },
)
