"""Every setting with its name, default, range and meaning. The YAML file and the ROS parameters are derived from here.

A description is what `ros2 param describe` shows, so it stands alone: what the setting is, its unit, and what the robot
does when the value is wrong.
"""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from rarrl.errors import InputError
from rarrl.secrets import check_body, check_headers
from rarrl.strict_yaml import read_yaml
from rarrl.types import CALL_TIMEOUT_S, MAX_NEW_TOKENS

YAML_WIDTH = 118
"""Characters of a comment line in a written YAML file; such a file then keeps the line length of this repository."""
Scalar = bool | int | float | str
"""The type of a setting: what a ROS parameter can hold without being an array."""


class Section(BaseModel):
    """Base of all configuration models. It refuses unknown keys, wrong types (also "3" for 3) and NaN."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True, hide_input_in_errors=True
    )


class OrchestratorConfig(Section):
    """When the robot asks the language model, in which role, and what that may cost."""

    policy: str = Field(
        default="learned",
        min_length=1,
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="Name of the policy that decides when the robot asks the language model: learned (shipped "
        "weights for this kind of profile), recorded, household, a rule such as never, always or "
        "after_failure, the path of a weights file, or package.module:Class (a class of your own). A "
        "policy that was trained for other costs asks too often or too rarely.",
    )
    profile: str = Field(
        default="gpt4o-mini-anchor",
        min_length=1,
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="What a call to the language model costs: the name of a shipped latency profile, or the path of "
        "a profile file. If the profile does not match the model in use, the orchestrator decides on "
        "wrong seconds and tokens.",
    )
    reasoner: str = Field(
        default="profile",
        min_length=1,
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="What answers a THINK decision: profile (calls replayed from the latency profile), llama (the "
        "shipped model), llama:FILE.gguf, openai:URL#model, llama_ros:ACTION or package.module:Class (a "
        "class of your own). If it cannot be reached, calls fail and "
        "the robot goes on with the plan that it has.",
    )
    costs: Literal["online", "static"] = Field(
        default="online",
        description="What calls are expected to cost where they are made for real: online (the profile at first, then "
        "what the calls take) or static (the profile, whatever they take). With static, a robot whose cores are busy "
        "or whose network is slow begins calls that its budget cannot pay for.",
    )
    home: str = Field(
        default="",
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="Path of a JSON file that maps each place of the home to the things met there; it goes into the "
        "prompts of level 2. Empty means that the home is not known. If it describes another home, "
        "plans name places where the things are not.",
    )
    operator_policy: str = Field(
        default="",
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="Path of the operator's policy, a JSON or YAML file that says what this robot may touch and do; a "
        "plan that breaks it is refused, whoever wrote it. Empty means that the rules of the robot's own files hold "
        "alone. A name in it that the robot does not know is an error, because a misspelt ban would ban nothing.",
    )
    cost_weight: float = Field(
        default=0.004,
        ge=0.0,
        le=1.0,
        description="Price of thinking (lambda in RARRL): the share of task success, 0 to 1, that is worth 1 s of "
        "language model time, in 1/s. If it is too high, the robot does not ask when it should; if it "
        "is too low, it spends its budget early.",
    )
    abstain: str = Field(
        default="",
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="Path of a file that says when the robot stops and asks a person because it doubts that it would "
        "succeed, as `rarrl train orchestrator --world alfworld` writes it. Empty means that it never asks. If it was "
        "fitted to another robot, the promise in it does not hold: the robot asks in vain, or fails unannounced. The "
        "executive heeds it; simulated robots act instead.",
    )
    time_budget_s: float = Field(
        default=20.0,
        ge=0.0,
        le=3600.0,
        description="Language model time that one task may use, in seconds. Once it is spent, the robot acts "
        "without asking again.",
    )
    token_budget: float = Field(
        default=4000.0,
        ge=0.0,
        le=1e6,
        description="Tokens, read and written, that one task may use. Once they are spent, the robot acts without "
        "asking again.",
    )
    decision_timeout_s: float = Field(
        default=5.0,
        ge=0.1,
        le=60.0,
        description="Time without a message after which a robot node or the orchestrator node counts as gone, in "
        "seconds. If it is too short, a slow node is reported as stale in /diagnostics and another "
        "robot may take its place; if it is too long, a dead node is noticed late and a robot that was "
        "restarted is refused until then.",
    )


class ExecutiveConfig(Section):
    """The executive, which carries tasks out with a robot's own skills."""

    skills: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="Path of skills.yaml, which says what the robot can do and how it is run, or robot:NAME for one "
        "that comes with the package (alfred, pyrobosim). With the file of another robot, goals go to servers that are "
        "not there, and every skill is unavailable.",
    )
    world: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="Path of world.yaml, which says what rooms, places, doors and things there are, or robot:NAME. "
        "Empty means the world of the robot that `skills` names. If it is of another home, the robot drives to places "
        "that are not there.",
    )
    horizon: int = Field(
        default=80,
        ge=1,
        le=10_000,
        description="Number of skills that one task may try. After them it is given up; if there are too few, long "
        "tasks end half-way.",
    )
    journal: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="Path of the journal, a file that is written before each goal and after each result. A process "
        "that was killed goes on from it, with the goal that still runs. Empty: none is written, and a task ends with "
        "the process while its last skill goes on.",
    )
    statistics: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="Path of the file that counts how often each skill succeeds here. Empty: it is forgotten when the "
        "process ends. With the counts of another robot, the orchestrator expects what does not happen.",
    )
    detection_radius_m: float = Field(
        default=1.0,
        ge=0.01,
        le=100.0,
        description="Distance in metres, in the plane, up to which a thing that a detector sees counts as being at the "
        "nearest place of the world. If it is too large, things in between are believed to be at a place; if it is too "
        "small, sightings are dropped.",
    )
    task_action: str = Field(
        default="",
        max_length=200,
        pattern=r"^[^\r\n]*$",
        description="Name of an action that is served and whose goals are tasks, besides the topic `instruction`. "
        "Empty: none is served.",
    )
    task_type: str = Field(
        default="rai_interfaces/action/Task",
        max_length=200,
        pattern=r"^[^\r\n]*$",
        description="Type of `task_action`, package/action/Type. If it is not installed, the node cannot be "
        "configured.",
    )
    task_instruction: str = Field(
        default="{task}",
        max_length=500,
        pattern=r"^[^\r\n]*$",
        description="What a goal of `task_action` tells the robot to do, with the goal's fields in braces. A field "
        "that the goal does not have is an error.",
    )
    task_result: str = Field(
        default='{"success": "{success}", "report": "{why}"}',
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="JSON: fields of the result of `task_action`, filled in from {success}, {why}, {status}, {skills} "
        "and {goal}. A field that the result does not have is an error.",
    )


class ReplayConfig(Section):
    """ALFRED tasks that are replayed against a latency profile."""

    episodes: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="Number of tasks to play. Fewer tasks give wider confidence intervals.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Seed of the random numbers. The same seed gives the same tasks, the same failures and the same "
        "latencies, so that policies can be compared.",
    )
    category: Literal["all", "Navigation", "Inspection", "Delivery"] = Field(
        default="all",
        description="Category of the ALFRED tasks that are played. Success and cost differ between categories, so "
        "results of different categories cannot be compared.",
    )
    alfred: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="Folder of the ALFRED data set. Empty means that tasks are drawn from the shipped statistics.",
    )
    split: Literal["train", "valid_seen", "valid_unseen"] = Field(
        default="valid_seen",
        description="Split of the ALFRED data set that is played; it is used only with `alfred`. Results on train "
        "are too good, because policies and models were trained on it.",
    )
    speed: float = Field(
        default=20.0,
        ge=0.01,
        le=1000.0,
        description="Simulated seconds per real second. If the computer cannot keep up, messages of the nodes "
        "arrive late in simulated time.",
    )
    latency_scale: float = Field(
        default=1.0,
        ge=0.1,
        le=10.0,
        description="Factor on every latency of the profile; 2 replays a language model that is half as fast.",
    )


class LanguageModelConfig(Section):
    """How the language model is run and asked: the one behind `orchestrator.reasoner`, `--llm` or `make_reasoner`."""

    threads: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Number of threads of llama.cpp, for models that run on this computer. With too few, calls take "
        "longer and miss their deadline; with too many, the detector and the policy are slowed down.",
    )
    context_tokens: int = Field(
        default=2048,
        ge=256,
        le=1_000_000,
        description="Tokens of prompt and answer together that a model on this computer has room for. If there are too "
        "few, prompts are refused and the robot goes on with the plan that it has; more of them cost memory.",
    )
    gpu_layers: int = Field(
        default=-1,
        ge=-1,
        le=10_000,
        description="Number of layers of a model on this computer that run on the GPU; -1 means all of them. It has no "
        "effect where llama.cpp was built without a GPU. If there are too many, the GPU runs out of memory and the "
        "model cannot be loaded.",
    )
    max_new_tokens_1: int = Field(
        default=MAX_NEW_TOKENS[1],
        ge=16,
        le=100_000,
        description="Tokens that an answer of level 1 may have, without those of a model's thoughts. If there are too "
        "few, plans are cut off and count as failed calls (status BUDGET).",
    )
    max_new_tokens_2: int = Field(
        default=MAX_NEW_TOKENS[2],
        ge=16,
        le=100_000,
        description="Tokens that an answer of level 2 may have, without those of a model's thoughts. If there are too "
        "few, plans are cut off and count as failed calls (status BUDGET).",
    )
    thinking_tokens: int = Field(
        default=2048,
        ge=0,
        le=1_000_000,
        description="Tokens that a thinking model may spend on thoughts in each call, in addition to those of its "
        "answer; 0 leaves it none of its own. If there are too few, the model never comes to its answer and the call "
        "fails with status BUDGET; if there are too many, the call runs into its deadline.",
    )
    call_timeout_s: float = Field(
        default=CALL_TIMEOUT_S,
        ge=0.05,
        le=3600.0,
        description="Time after which a call is given up, in seconds, however much of the task's budget is left. "
        "If it is too short, no call is ever answered; if it is too long, the robot stands while it waits for a server "
        "that hangs.",
    )
    examples: str = Field(
        default="",
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="File of goals with their plans in one of ALFRED's forms, such as alfred_train.jsonl.gz. Prompts "
        "for a general model on this computer hold the most similar ones; empty means those that come with rarrl. If "
        "they do not suit the robot's home, the plans of a small model do not, either.",
    )
    extra_body: str = Field(
        default="",
        max_length=10_000,
        description="More fields for the requests to a server, as a mapping or as the text of a JSON object, such as "
        '{"reasoning_effort": "low"} or {"chat_template_kwargs": {"enable_thinking": false}}. They win over what rarrl '
        "sends. Secrets are refused in clear and read from environment variables, as in headers. A server that does "
        "not know one of the fields may refuse every call.",
    )
    headers: str = Field(
        default="",
        max_length=10_000,
        description="More header lines for the requests to a server, as a mapping or as the text of a JSON object, "
        'such as {"api-key": "$AZURE_KEY"}. $NAME in a value is read from the environment variable of that name; '
        "secrets are refused in clear, because settings are visible to everybody. A wrong one makes the server refuse "
        "every call.",
    )

    @field_validator("extra_body", "headers", mode="before")
    @classmethod
    def _as_json(cls, value: Any, info: ValidationInfo) -> str:
        return request_part(info.field_name or "", value)

    @property
    def body(self) -> dict[str, Any]:
        """The fields of `extra_body`."""
        return dict(json.loads(self.extra_body)) if self.extra_body else {}

    @property
    def header_lines(self) -> dict[str, str]:
        """The lines of `headers`; values that begin with $ still name a variable (see `rarrl.secrets`)."""
        return dict(json.loads(self.headers)) if self.headers else {}

    def max_new_tokens(self, level: int) -> int:
        """The cap on the tokens of an answer of `level` 1 or 2."""
        return self.max_new_tokens_2 if level == 2 else self.max_new_tokens_1


def request_part(name: str, value: Any) -> str:
    """Returns `extra_body` or `headers` as the text of a JSON object, "" where it is empty.

    Raises: ValueError, one line that shows no value, because one may be a secret."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError):
            raise ValueError("not the text of a JSON object") from None

    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError("not a mapping of names to values")
    if name == "headers":
        check_headers(value)
    elif taken := sorted(_OWN_FIELDS & set(value)):
        raise ValueError(f"{taken[0]} is what rarrl itself sends; leave it out")
    else:
        check_body(value)

    try:
        return json.dumps(value, allow_nan=False) if value else ""
    except (ValueError, TypeError, RecursionError):
        raise ValueError("holds what JSON cannot express, such as a date or NaN; put texts into quotes") from None


_OWN_FIELDS = frozenset(("model", "messages", "stream", "response_format"))
"""Fields of a request that the backend could not do without, or whose answer it could not read."""


class DetectorConfig(Section):
    """Obstacle detection with a stereo camera."""

    quality: Literal["accurate", "fast", "quick"] = Field(
        default="accurate",
        description="How much processor time a pair may take: accurate, fast (about half of it, for small "
        "computers) or quick (about a third). With fast, a few more obstacles are missed or seen one voxel away from "
        "where they are, with quick more of them; with accurate on a slow computer, pairs are dropped and the robot "
        "drives on older ones.",
    )
    target_hz: float = Field(
        default=0.0,
        ge=0.0,
        le=200.0,
        description="Rate at which pairs are to be answered, in hertz. While the computer is too slow for it, a "
        "quicker quality than the one that is set is used, and that again once there is time; 0 never changes it. If "
        "it is higher than what the cameras send, obstacles are seen less well for nothing.",
    )
    preset: Literal["indoor", "near", "outdoor", "cube"] = Field(
        default="indoor",
        description="Cube of voxels ahead of the camera: indoor (side 6.4 m, voxels 0.1 m), near (3.2 m, 0.05 m), "
        "outdoor (32 m, 0.5 m) or cube (size_m and voxel_size_m). Obstacles outside the cube are not "
        "seen, so it must reach further than the robot needs to stop.",
    )
    size_m: float = Field(
        default=6.4,
        ge=0.1,
        le=1000.0,
        description="Side of the cube of voxels, in metres; it is used only with preset cube. If it is too small, "
        "the robot sees obstacles too late and has to drive slowly.",
    )
    voxel_size_m: float = Field(
        default=0.1,
        ge=0.001,
        le=100.0,
        description="Side of one voxel, in metres; it is used only with preset cube, and size_m must hold a "
        "multiple of 8 up to 128 of them. If it is too large, narrow passages look blocked; if it is "
        "too small, distant obstacles get too few pixels to be found.",
    )
    slop_s: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="Largest difference between the stamps of the left and the right image of one pair, in seconds. "
        "If it is too large, images of different moments are matched and depth is wrong while the robot "
        "moves; if it is too small, unsynchronized cameras give no pairs and the robot stands.",
    )
    max_age_s: float = Field(
        default=0.5,
        ge=0.01,
        le=60.0,
        description="Age by its stamp at which an image is refused, in seconds. If it is too short, a loaded "
        "computer drops every image and the robot stands; if it is too long, obstacles are reported "
        "where they used to be.",
    )
    freeze_frames: int = Field(
        default=5,
        ge=0,
        le=1000,
        description="Number of equal images in a row that mean a frozen camera; 0 turns the check off, for "
        "simulators without noise. If it is too high, a frozen camera is noticed late and the robot "
        "drives on old images.",
    )
    health: Literal["off", "warn", "stop"] = Field(
        default="stop",
        description="What follows when the pictures show that the two cameras have moved against each other since they "
        "were calibrated: stop (the scan is blocked until they are calibrated again), warn (diagnostics only) or off "
        "(not looked for). With warn or off, the robot drives by distances that are wrong.",
    )
    health_period_s: float = Field(
        default=1.0,
        ge=0.0,
        le=60.0,
        description="Time between two looks at the calibration, in seconds. It takes two or three looks to notice a "
        "drift, and each takes 10 to 30 ms of processor time.",
    )
    camera_height_m: float = Field(
        default=0.4,
        ge=0.0,
        le=100.0,
        description="Height of the left camera above the ground, in metres. If it is wrong, the ground is reported "
        "as an obstacle or low obstacles are taken for ground.",
    )
    camera_pitch_deg: float = Field(
        default=0.0,
        ge=-80.0,
        le=80.0,
        description="Angle by which the camera looks down, in degrees. If it is wrong, distant ground is reported "
        "as an obstacle or low obstacles are overlooked.",
    )
    camera_roll_deg: float = Field(
        default=0.0,
        ge=-360.0,
        le=360.0,
        description="Angle by which the camera is turned about the direction in which it looks, in degrees, clockwise "
        "as it looks; 180 is a camera that is mounted upside down. If it is wrong, the ground is reported as an "
        "obstacle.",
    )
    camera_x_m: float = Field(
        default=0.0,
        ge=-10.0,
        le=10.0,
        description="Position of the left camera ahead of the base's rotation axis, in metres; negative is behind it. "
        "It is used only with fuse: if it is wrong, obstacles are smeared while the robot turns.",
    )
    camera_y_m: float = Field(
        default=0.0,
        ge=-10.0,
        le=10.0,
        description="Position of the left camera to the left of the base's rotation axis, in metres; negative is to "
        "the right. It is used only with fuse: if it is wrong, obstacles are smeared while the robot turns.",
    )
    camera_yaw_deg: float = Field(
        default=0.0,
        ge=-360.0,
        le=360.0,
        description="Direction in which the camera looks on the base, in degrees; 0 is ahead, 90 to the left. It is "
        "used only with fuse, since the scan is in the direction of the camera (the gate turns it by "
        "gate.sensor_yaw_deg): if it is wrong, obstacles are smeared while the robot drives.",
    )
    body_low_m: float = Field(
        default=0.15,
        ge=-10.0,
        le=100.0,
        description="Height above the ground below which obstacles are left out of the scan, in metres. If it is "
        "too high, the robot can run into low obstacles; if it is too low, bumps of the ground block "
        "it.",
    )
    body_high_m: float = Field(
        default=1.5,
        ge=-10.0,
        le=100.0,
        description="Height above the ground above which obstacles are left out of the scan, in metres. If it is "
        "less than the robot's height, the robot can run into table tops.",
    )
    scan_sectors: int = Field(
        default=31,
        ge=2,
        le=360,
        description="Number of bearings into which the scan divides the camera's field of view. With too few of "
        "them, one obstacle blocks a wide sector and the robot does not fit through doors.",
    )
    threads: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Number of threads that OpenCV may use. More threads shorten the time per image but take "
        "processor time from the policy and the language model.",
    )
    fuse: bool = Field(
        default=False,
        description="Whether voxels are accumulated over time, moved by the poses on the topic odom. If the poses "
        "are wrong, obstacles appear in the wrong places.",
    )


class PolicyConfig(Section):
    """The action policy that runs on the robot."""

    folder: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="The action policy: a folder as `rarrl train policy` writes it, package.module:Class (a class of "
        "your own), hf:ORG/NAME@COMMIT (of the Hugging Face hub) or openvla:FOLDER#package.module:features. Empty "
        "means the shipped policy for Meta-World. A policy that was trained on another robot gives commands that mean "
        "nothing on this one.",
    )
    gguf: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="Path of another GGUF transformer for this policy, such as a quantized one. Empty means the one "
        "in the policy's folder.",
    )
    preset: str = Field(
        default="",
        max_length=100,
        pattern=r"^[^\r\n]*$",
        description="Name of the preset in the policy's folder that makes the policy faster by leaving out patches "
        "or layers. Empty means the whole policy. A preset that was tuned for other tasks can lower the "
        "share of tasks that succeed.",
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Number of threads of llama.cpp. With too few, inferences miss the deadline and the robot "
        "stops; with too many, other nodes are slowed down.",
    )
    control_hz: float = Field(
        default=0.0,
        ge=0.0,
        le=1000.0,
        description="Rate at which rows of the action chunk are published, in hertz; 0 means the rate that the "
        "policy was trained at. At any other rate the robot moves faster or slower than in the training "
        "data.",
    )
    deadline_s: float = Field(
        default=0.25,
        ge=0.005,
        le=10.0,
        description="Time after which a running inference is dropped, in seconds; it may not exceed "
        "max_observation_age_s. If it is too short, no action chunk is ever finished and the robot "
        "stands.",
    )
    max_observation_age_s: float = Field(
        default=0.4,
        ge=0.01,
        le=10.0,
        description="Largest age of the observation behind a command, in seconds. If it is too short, the robot "
        "stops between two action chunks; if it is too long, it acts on what it saw too long ago.",
    )
    slop_s: float = Field(
        default=0.05,
        ge=0.0,
        le=10.0,
        description="Largest difference between the stamps of the images and the proprioception of one observation, "
        "in seconds. If it is too short, no observation is complete and the robot stands; if it is too "
        "long, the policy sees parts of different moments.",
    )
    blend_rows: int = Field(
        default=2,
        ge=0,
        le=64,
        description="Number of rows over which a new action chunk gradually replaces the old one; 0 replaces it at "
        "once. If it is too low, commands jump at the seam; if it is too high, the robot reacts late.",
    )
    replan_share: float = Field(
        default=0.7,
        ge=0.0,
        le=1.0,
        description="Share of the usable rows, 0 to 1, below which the next inference begins. If it is too low, the "
        "rows run out before the next chunk is ready and the robot stops; at 1 the processor is always "
        "busy.",
    )


class GateConfig(Section):
    """The safety gate in front of the motors: limits, the robot's dimensions, and what it must know to move."""

    rate_hz: float = Field(
        default=20.0,
        ge=5.0,
        le=200.0,
        description="Lowest rate at which the gate publishes a command, zero included, in hertz. If it is lower "
        "than the base expects, the base's own deadman stops the robot again and again.",
    )
    max_command_age_s: float = Field(
        default=0.3,
        ge=0.05,
        le=0.4,
        description="Time since the arrival of the last command after which the gate stops the robot, in seconds. "
        "If it is too short, the robot stops between commands; if it is too long, it drives on after "
        "the policy has died.",
    )
    max_observation_age_s: float = Field(
        default=0.5,
        ge=0.05,
        le=5.0,
        description="Largest age by its stamp of the observation that a command was derived from, in seconds. If it "
        "is too short, every command of a slow policy is refused; if it is too long, the robot follows "
        "commands for a scene that has changed.",
    )
    max_obstacle_age_s: float = Field(
        default=0.4,
        ge=0.05,
        le=0.4,
        description="Largest age by its stamp of the newest scan and of the newest pose, in seconds. If it is too "
        "short, a slow detector stops the robot; if it is too long, the robot drives further without "
        "seeing.",
    )
    max_speed_mps: float = Field(
        default=0.5,
        ge=0.01,
        le=3.0,
        description="Highest forward speed that the gate lets through, in m/s. A higher limit needs a longer free "
        "range of the scan; if the range is shorter than the stopping distance, the robot is slowed "
        "down anyway.",
    )
    max_reverse_mps: float = Field(
        default=0.1,
        ge=0.0,
        le=3.0,
        description="Highest backward speed that the gate lets through, in m/s; 0 forbids driving backwards. A "
        "camera that looks ahead does not see what stands behind, so only remembered free space "
        "protects there.",
    )
    max_turn_radps: float = Field(
        default=1.0,
        ge=0.01,
        le=10.0,
        description="Highest turning rate that the gate lets through, in rad/s, in either direction. If it is more "
        "than the base can follow, the robot leaves the arc that was checked.",
    )
    clamp_margin: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Share of a limit by which a command may exceed it and is cut to it; a command beyond that is "
        "refused and the robot stops. If it is too small, a command that is slightly too fast stops the "
        "robot; if it is too large, a policy that has gone wrong keeps driving.",
    )
    accel_mps2: float = Field(
        default=0.5,
        ge=0.01,
        le=20.0,
        description="Highest acceleration that the gate lets through, in m/s^2. If it is more than the base can "
        "follow, the robot lags behind its commands; if it is too low, it starts slowly.",
    )
    decel_mps2: float = Field(
        default=0.5,
        ge=0.01,
        le=20.0,
        description="Comfortable deceleration, in m/s^2, with which the gate slows the robot down before obstacles; "
        "it may not exceed brake_mps2. If it is too low, the robot slows down far from obstacles and "
        "may not get through narrow passages.",
    )
    brake_mps2: float = Field(
        default=1.0,
        ge=0.01,
        le=20.0,
        description="Deceleration that the brakes reach on every ground and with every load, in m/s^2. If it is "
        "higher than the real one, the robot cannot stop in front of an obstacle that appears suddenly.",
    )
    turn_accel_radps2: float = Field(
        default=2.0,
        ge=0.01,
        le=50.0,
        description="Highest change of the turning rate that the gate lets through, in rad/s^2; it may not exceed "
        "turn_brake_radps2. If it is more than the base can follow, the robot leaves the arc that was "
        "checked.",
    )
    turn_brake_radps2: float = Field(
        default=4.0,
        ge=0.01,
        le=50.0,
        description="Angular deceleration that the base surely reaches when it has to stop turning, in rad/s^2. If "
        "it is higher than the real one, the robot turns further than the gate checked and can touch an "
        "obstacle beside it.",
    )
    latency_s: float = Field(
        default=0.15,
        ge=0.0,
        le=2.0,
        description="Time from a command that leaves the gate to the first effect of the brakes, in seconds. If it "
        "is shorter than the real one, the robot stops too late; at 0.5 m/s a missing 0.1 s costs 5 cm.",
    )
    front_m: float = Field(
        default=0.3,
        ge=0.01,
        le=10.0,
        description="Distance from the rotation axis to the robot's front, in metres; it is not used with a round "
        "base (radius_m above 0). If it is too small, the robot touches what is ahead before it stops.",
    )
    rear_m: float = Field(
        default=0.3,
        ge=0.01,
        le=10.0,
        description="Distance from the rotation axis to the robot's rear, in metres; it is not used with a round "
        "base (radius_m above 0). If it is too small, the rear touches obstacles when the robot turns "
        "or drives backwards.",
    )
    half_width_m: float = Field(
        default=0.25,
        ge=0.01,
        le=10.0,
        description="Half of the robot's width, in metres; it is not used with a round base (radius_m above 0). If "
        "it is too small, the robot's sides touch obstacles; if it is too large, it does not enter "
        "doors.",
    )
    radius_m: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Radius of a round base whose rotation axis is its centre, in metres; 0 means the rectangle of "
        "front_m, rear_m and half_width_m. The gate always lets a round base turn in place, so a base "
        "that is not round would touch what stands beside it.",
    )
    look_radps: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Turning rate, in rad/s, with which a round base turns towards a place that blocks it only "
        "because the camera has not seen it; 0 turns this off. With 0 such a robot can stand in front "
        "of free space that it never looked at; above 0 it may turn without having been asked to.",
    )
    margin_m: float = Field(
        default=0.1,
        ge=0.02,
        le=5.0,
        description="Distance that the robot keeps to everything that is not known to be free, in metres. It must "
        "cover the errors of scan and odometry: if it is too small, the robot can touch obstacles; if "
        "it is too large, it does not enter narrow passages.",
    )
    sensor_x_m: float = Field(
        default=0.0,
        ge=-10.0,
        le=10.0,
        description="Position of the scan's origin ahead of the rotation axis, in metres; negative is behind it. If "
        "it is wrong, all obstacles are misplaced by the error, and the robot stops too late or too "
        "early.",
    )
    sensor_y_m: float = Field(
        default=0.0,
        ge=-10.0,
        le=10.0,
        description="Position of the scan's origin to the left of the rotation axis, in metres; negative is to the "
        "right. If it is wrong, all obstacles are misplaced sideways and the robot passes too close on "
        "one side.",
    )
    sensor_yaw_deg: float = Field(
        default=0.0,
        ge=-360.0,
        le=360.0,
        description="Direction of the x axis of the scan's frame on the base, in degrees; 0 points ahead, 90 to the "
        "left, 180 is a sensor that is mounted backwards. If it is wrong, the robot looks for obstacles on the wrong "
        "side and drives into them.",
    )
    sensor_flipped: bool = Field(
        default=False,
        description="Whether the scan's sensor is mounted upside down, so that what it calls left is right. If it is "
        "wrong, obstacles on the left and on the right are exchanged and the robot touches them.",
    )
    scan_frames: str = Field(
        default="base_link, base_scan, stereo_scan",
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="Frame ids, separated by commas, of scans whose sensor is mounted as sensor_x_m, sensor_y_m, "
        "sensor_yaw_deg and sensor_flipped say. A scan of any other frame, or of none, stops the robot. The base's own "
        "frame counts from the rotation axis: its scans stop the robot too if one of those settings is not 0. It is "
        "not used with sensor_from_tf.",
    )
    sensor_from_tf: bool = Field(
        default=False,
        description="Whether the place and the direction of the scan's frame on the base come from TF instead of "
        "sensor_x_m, sensor_y_m, sensor_yaw_deg and sensor_flipped; this needs tf2_ros. Until TF knows the frame, the "
        "robot stands; if TF is wrong, obstacles are looked for in the wrong place.",
    )
    blind_m: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Distance from the sensor, in metres, below which it looks over low obstacles; nearer places "
        "keep what was seen of them from further away. If it is too small, a low obstacle is forgotten "
        "as soon as the robot is close to it, and the robot runs into it.",
    )
    assumed_clear_m: float = Field(
        default=1.0,
        ge=0.0,
        le=10.0,
        description="Radius around the rotation axis, in metres, that is taken to be free when the gate is "
        "activated, because no camera sees the robot's own feet; the person who activates the gate "
        "makes sure that it is. If it is too small, the robot cannot leave its place; if something "
        "stands inside it, the robot can touch it.",
    )
    odometry: bool = Field(
        default=True,
        description="Whether the gate uses odom to remember which places were seen to be free. Without it nothing "
        "is remembered and the area of assumed_clear_m moves along with the robot, so that an obstacle "
        "beside the robot that left the view is not seen any more.",
    )
    memory_m: float = Field(
        default=5.0,
        ge=0.0,
        le=100.0,
        description="Distance driven, in metres, after which a place that was seen to be free is forgotten; a turn "
        "of 1 rad counts as 0.5 m. If it is too long, odometry drift and things that moved make "
        "occupied places look free; if it is too short, the robot stops in places that it saw just "
        "before.",
    )
    memory_s: float = Field(
        default=3.0,
        ge=0.0,
        le=3600.0,
        description="How long ago, in seconds, a place behind must have been in view, or under the robot, for the "
        "robot to drive backwards there: people walk up unseen. 0 forbids driving backwards where nothing looks; if it "
        "is too long, the robot backs off into whoever has come up behind it.",
    )
    cell_m: float = Field(
        default=0.05,
        ge=0.01,
        le=1.0,
        description="Side of the cells of the map in which the gate remembers free space, in metres. If it is too "
        "large, narrow passages look blocked; if it is too small, the gate needs more processor time, "
        "and a map with too many cells is refused.",
    )
    joints: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="Limits of an arm's joints as name:low:high:speed separated by commas, in rad and rad/s. Empty "
        "means that there is no arm and nothing is sent to one. If a limit is too wide, the arm can "
        "reach its hard stop.",
    )


class DeadmanConfig(Section):
    """The deadman below the safety gate: the last publisher of commands, which says zero when the gate is silent."""

    max_silence_s: float = Field(
        default=0.2,
        ge=0.05,
        le=1.0,
        description="Largest age by its stamp of the gate's last command, in seconds; after that the base gets zero. "
        "If it is shorter than three periods of gate.rate_hz, a busy computer stops the robot; if it is too long, the "
        "robot drives on after the gate has died.",
    )
    rate_hz: float = Field(
        default=20.0,
        ge=5.0,
        le=200.0,
        description="Rate at which the deadman publishes zero while nothing may pass, in hertz. If it is lower than "
        "the base expects, the base's own time limit stops it again and again.",
    )
    resume_s: float = Field(
        default=1.0,
        ge=0.0,
        le=10.0,
        description="Length of a silence of the gate, in seconds, after which commands pass again by themselves; "
        "after a longer one, or a gate that was started again, a command of zero has to come first. 0: after every "
        "silence. If it is too long, the robot drives off by itself after a fault that nobody saw to.",
    )
    realtime_priority: int = Field(
        default=50,
        ge=0,
        le=99,
        description="Priority of the deadman under SCHED_FIFO, as that of ros2_control's controller manager; 0 asks "
        "for none. Where the user may not set it, or with 0, a computer that is busy enough delays the stop.",
    )
    restart: Literal["zero", "enable"] = Field(
        default="zero",
        description="What lets commands pass after a start, a long silence or a reset of the emergency stop: zero "
        "(one command of zero; a safety gate sends it when it is activated) or enable (someone calls ~/enable). With "
        "zero, a robot whose parts were restarted drives on as soon as it is commanded.",
    )
    start_latched: bool = Field(
        default=False,
        description="Whether the node starts as if the emergency stop had been pressed, so that only ~/reset lets the "
        "robot move. Set it where the node is started again by itself: a stop that its predecessor had latched would "
        "be forgotten otherwise.",
    )
    estop_silence_s: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Longest time without a message on estop, in seconds, after which the emergency stop is latched; "
        "0: that topic may be silent. With 0, a button whose node or radio has died stops nothing; if it is shorter "
        "than the button's period, the robot does not move.",
    )


class SimConfig(Section):
    """A simulated home with a robot that is driven over ROS."""

    missions: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Number of missions that are carried out; 0 starts one mission for each message on the topic "
        "instruction. With 0 and no messages the robot stands.",
    )
    first: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Number of the first mission of the seed, from 0. A series that was interrupted continues from "
        "there.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Seed of the random numbers. The same seed gives the same homes and missions.",
    )
    people: int = Field(
        default=2,
        ge=0,
        le=6,
        description="Number of people who walk about in the home. The gate takes everything to stand still, so a "
        "person may walk into the robot.",
    )
    disturbance: float = Field(
        default=1.0,
        ge=0.0,
        le=5.0,
        description="Factor on how often things go wrong, such as slips and moved objects; 1 is the documented "
        "amount, 0 means never. Success at different values cannot be compared.",
    )
    time_limit_s: float = Field(
        default=300.0,
        ge=1.0,
        le=3600.0,
        description="Time limit of a mission, in seconds of simulation. If it is too short, the robot fails "
        "missions that it was about to finish.",
    )
    wait_s: float = Field(
        default=30.0,
        ge=0.0,
        le=600.0,
        description="Longest time that a mission waits for the gate, the detector and the policy to be there, in "
        "seconds; 0 does not wait. If it is too short, the mission begins without them and the robot "
        "stands.",
    )


class Config(Section):
    """The whole configuration."""

    orchestrator: OrchestratorConfig = Field(default_factory=OrchestratorConfig)
    language_model: LanguageModelConfig = Field(default_factory=LanguageModelConfig)
    executive: ExecutiveConfig = Field(default_factory=ExecutiveConfig)
    replay: ReplayConfig = Field(default_factory=ReplayConfig)
    detector: DetectorConfig = Field(default_factory=DetectorConfig)
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    gate: GateConfig = Field(default_factory=GateConfig)
    deadman: DeadmanConfig = Field(default_factory=DeadmanConfig)
    sim: SimConfig = Field(default_factory=SimConfig)


@dataclass(frozen=True)
class FieldSpec:
    """One setting, as a ROS parameter or a command line needs it. Limits are inclusive; None means no limit."""

    name: str  # dotted: orchestrator.time_budget_s
    type: type[bool] | type[int] | type[float] | type[str]
    default: Scalar
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]  # empty: any text is allowed
    description: str

    @property
    def allowed(self) -> str:
        """The allowed values in words.

        >>> next(iter_fields(ReplayConfig)).allowed
        'integer 1 to 100000'
        """
        if self.choices:
            return ", ".join(self.choices)

        kind = {bool: "true or false", int: "integer", float: "number", str: "text on one line"}[self.type]
        if self.type is str and self.maximum is not None:
            return f"{kind}, {self.minimum or 0:.0f} to {self.maximum:.0f} characters"
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} {_number(self.minimum)} to {_number(self.maximum)}"

        return kind


def iter_fields(model: type[BaseModel], prefix: str = "") -> Iterator[FieldSpec]:
    """Yields every setting of `model` in the order of definition; names are dotted and begin with `prefix`.

    Raises: TypeError for a field that no ROS parameter can hold."""
    for key, info in model.model_fields.items():
        name = prefix + key
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from iter_fields(annotation, name + ".")
            continue

        choices: tuple[str, ...] = get_args(annotation) if get_origin(annotation) is Literal else ()
        kind = _kind(name, str if choices and all(isinstance(c, str) for c in choices) else annotation)

        minimum = maximum = None
        for rule in info.metadata:
            if isinstance(rule, annotated_types.Gt | annotated_types.Lt):
                raise TypeError(f"{name}: use ge and le; ROS parameter ranges include their ends")
            minimum = getattr(rule, "ge", getattr(rule, "min_length", minimum))
            maximum = getattr(rule, "le", getattr(rule, "max_length", maximum))

        yield FieldSpec(name, kind, info.default, minimum, maximum, choices, info.description or "")


def load_config(path: Path | None) -> Config:
    """Reads the configuration in the YAML file `path`. Keys that it leaves out keep their default; None: all defaults.

    A ROS parameter file for all nodes is one too, where it holds these sections and nothing else.

    Raises: InputError, one line that names file, key, value and what is allowed."""
    if path is None:
        return Config()

    values = read_yaml(path, "config")
    if values is None:  # the file is empty
        return Config()

    return config_from_values(_sections(values), str(path))


def given_settings(path: Path | None) -> dict[str, Scalar]:
    """The settings that the configuration in `path` gives, by dotted name, without those that it leaves out.

    Raises: InputError as `load_config`."""
    sections = load_config(path).model_dump(exclude_unset=True)
    return {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}


def _sections(values: Any) -> Any:
    """What a ROS parameter file holds for all nodes (`/**`), which are the same sections; else `values`."""
    inner = values.get("/**") if isinstance(values, Mapping) and len(values) == 1 else None
    return inner["ros__parameters"] if isinstance(inner, Mapping) and set(inner) == {"ros__parameters"} else values


def config_from_values(values: Any, where: str) -> Config:
    """Makes a `Config` from nested mappings. `where`, such as a file or a node, begins the message of an error.

    Raises: InputError, one line."""
    if not isinstance(values, Mapping):
        raise InputError(f"config: {where}: expected sections {', '.join(Config.model_fields)}, got {_short(values)}")

    try:
        # A section whose keys are all commented out reads as None.
        return Config.model_validate({k: {} if v is None else v for k, v in values.items()})
    except ValidationError as error:
        raise InputError(f"config: {where}: {_describe(error)}") from None


def config_from_flat(values: Mapping[str, Scalar], where: str) -> Config:
    """Makes a `Config` from dotted names, such as ROS parameters. Names that are left out keep their default.

    >>> config_from_flat({"replay.speed": 5.0}, "parameters").replay.speed
    5.0
    """
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *sections, key = name.split(".")
        target = nested
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value

    return config_from_values(nested, where)


def to_yaml(config: Config) -> str:
    """Returns `config` as YAML text, each setting below a comment with its meaning and range."""
    values = config.model_dump()
    lines = ["# rarrl's settings. A setting that is left out keeps its default.", ""]
    for section, info in Config.model_fields.items():
        model = info.annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)

        lines.append(f"{section}:  # {(model.__doc__ or '').strip()}")
        for spec in iter_fields(model):
            quotes = '"' if spec.type is str else None
            value = yaml.safe_dump(values[section][spec.name], default_style=quotes, width=10_000)
            lines += _comment(f"{spec.description} Allowed: {spec.allowed}.")
            lines += [f"  {spec.name}: {value.splitlines()[0]}", ""]

    return "\n".join(lines)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        YAML_WIDTH,
        initial_indent="  # ",
        subsequent_indent="  # ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _kind(name: str, annotation: Any) -> type[bool] | type[int] | type[float] | type[str]:
    for kind in (bool, int, float, str):
        if annotation is kind:
            return kind
    raise TypeError(f"{name}: a setting is a bool, int, float, str or a Literal of texts, got {annotation}")


def _describe(error: ValidationError) -> str:
    """Describes the first fault on one line and counts the others."""
    first = error.errors(include_url=False)[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    name = ".".join(map(str, first["loc"]))
    specs = {spec.name: spec for spec in iter_fields(Config)}

    if first["type"] == "extra_forbidden":
        return f"key {_one_line(name)} is unknown; {_suggest(first['loc'], list(specs))}{more}"

    if name not in specs:  # a scalar where a section should stand
        keys = ", ".join(spec.rpartition(".")[2] for spec in specs if spec.startswith(name + "."))
        return f"key {name}: expected a section with {keys}, got {_short(first['input'])}{more}"

    if first["type"] == "value_error":  # our own words; they show no value, which may be a secret
        allowed = "a mapping, or the text of a JSON object"
        return f"key {name}: {first['ctx']['error']} (allowed: {allowed}){more}"

    value = first["input"]
    hint = ""
    if isinstance(value, str) and specs[name].type in (int, float):
        hint = "; write a plain number without quotes, such as 20 or 0.5 (YAML reads 1e3 as text)"

    return f"key {name}: {_short(value)} is not allowed (allowed: {specs[name].allowed}){hint}{more}"


def _suggest(loc: tuple[int | str, ...], known: list[str]) -> str:
    prefix = "".join(f"{part}." for part in loc[:-1])
    leaf = str(loc[-1])
    siblings = [k.removeprefix(prefix) for k in known if k.startswith(prefix)] if prefix else list(Config.model_fields)

    near = [prefix + match for match in difflib.get_close_matches(leaf, siblings, n=1)]
    near = near or [k for k in known if k.rpartition(".")[2] == leaf]  # the right key in the wrong section

    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(siblings)}"


def _number(value: float) -> str:
    """Returns a number without needless digits.

    >>> _number(1e6), _number(0.1)
    ('1000000', '0.1')
    """
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _short(value: object, limit: int = 60) -> str:
    """Cuts `repr(value)` to `limit` characters, because a value from outside must not flood a message."""
    text = repr(value[:limit] if isinstance(value, str | bytes | list) else value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _one_line(text: str, limit: int = 200) -> str:
    return " ".join(text.split())[:limit]


if __name__ == "__main__":  # python -m rarrl.config > config/default.yaml
    print(to_yaml(Config()), end="")
