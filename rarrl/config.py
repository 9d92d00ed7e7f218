"""Every setting: name, default, range and meaning, once. Files and ROS parameters are derived from these models."""

from __future__ import annotations

import difflib
import os
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rarrl.errors import InputError
from rarrl.files import read_file

MAX_CONFIG_BYTES = 100_000  # a second of parsing; the whole default file has 2,000
Scalar = bool | int | float | str


class Section(BaseModel):
    """Base of all config models: unknown keys, wrong types (also "3" for 3) and NaN are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True, hide_input_in_errors=True
    )


class OrchestratorConfig(Section):
    """The decision whether to think, with which role, with how much budget."""

    policy: str = Field(
        default="learned",
        min_length=1,
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="name of the policy that decides: learned, never, always, after_failure, ...",
    )
    profile: str = Field(
        default="gpt4o-mini-anchor",
        min_length=1,
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="what the language model costs: name of a shipped latency profile, or path of a profile file",
    )
    reasoner: str = Field(
        default="profile",
        min_length=1,
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="who answers THINK: profile (calls replayed from the latency profile), llama, llama:FILE, "
        "openai:URL#model",
    )
    home: str = Field(
        default="",
        max_length=1000,
        pattern=r"^[^\r\n]*$",
        description="what the robot has met in its home, looked up at level 2: path of a JSON file, place -> things; "
        "empty: not known",
    )
    cost_weight: float = Field(
        default=0.004,
        ge=0.0,
        le=1.0,
        description="RARRL's lambda: success (0 to 1) that one is willing to give up to save 1 s of LLM time, 1/s",
    )
    time_budget_s: float = Field(default=20.0, ge=0.0, le=3600.0, description="LLM time that one task may use, s")
    token_budget: float = Field(
        default=4000.0, ge=0.0, le=1e6, description="tokens, read and written, that one task may use"
    )
    decision_timeout_s: float = Field(
        default=5.0, ge=0.1, le=60.0, description="a robot or replay side silent for longer counts as gone, s"
    )


class ReplayConfig(Section):
    """Playing ALFRED tasks against a latency profile."""

    episodes: int = Field(default=20, ge=1, le=100_000, description="how many tasks to play")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="the same seed gives the same tasks and the same luck")
    category: Literal["all", "Navigation", "Inspection", "Delivery"] = Field(
        default="all", description="which tasks to play"
    )
    alfred: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="folder of the ALFRED data set; empty: tasks are drawn from the shipped statistics",
    )
    split: Literal["train", "valid_seen", "valid_unseen"] = Field(
        default="valid_seen", description="part of the data set to play (only with alfred)"
    )
    speed: float = Field(default=20.0, ge=0.01, le=1000.0, description="simulated seconds per real second")
    latency_scale: float = Field(
        default=1.0, ge=0.1, le=10.0, description="factor on every latency of the profile: 2 plays a half as fast LLM"
    )


class DetectorConfig(Section):
    """Obstacles from a stereo camera."""

    preset: Literal["indoor", "near", "outdoor", "cube"] = Field(
        default="indoor",
        description="indoor: 6.4 m, 0.1 m; near: 3.2 m, 0.05 m; outdoor: 32 m, 0.5 m; cube: size_m and voxel_size_m",
    )
    size_m: float = Field(default=6.4, ge=0.1, le=1000.0, description="side of the cube (only with preset cube), m")
    voxel_size_m: float = Field(
        default=0.1, ge=0.001, le=100.0, description="side of a voxel (only with preset cube); 8 to 128 a side, m"
    )
    slop_s: float = Field(
        default=0.01, ge=0.0, le=1.0, description="left and right of one pair may differ by so much, s"
    )
    max_age_s: float = Field(
        default=0.5, ge=0.01, le=60.0, description="images older than this by their stamp are refused, s"
    )
    freeze_frames: int = Field(
        default=5, ge=0, le=1000, description="so many equal images in a row mean a frozen camera; 0: never"
    )
    camera_height_m: float = Field(default=0.4, ge=0.0, le=100.0, description="of the left camera above the ground, m")
    camera_pitch_deg: float = Field(
        default=0.0, ge=-80.0, le=80.0, description="by how much the camera looks down, degrees"
    )
    body_low_m: float = Field(
        default=0.15, ge=-10.0, le=100.0, description="the scan leaves out what is lower than this above the ground, m"
    )
    body_high_m: float = Field(default=1.5, ge=-10.0, le=100.0, description="the scan leaves out what is higher, m")
    scan_sectors: int = Field(default=31, ge=2, le=360, description="bearings that share the field of view")
    threads: int = Field(default=2, ge=1, le=64, description="threads that OpenCV may use")
    fuse: bool = Field(default=False, description="add the voxels up over time, moved by the poses on the topic odom")


class PolicyConfig(Section):
    """The action policy on the robot."""

    folder: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="policy folder, as `rarrl train policy` writes it; empty: the shipped one for Meta-World",
    )
    gguf: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="another transformer for the folder, such as a quantized one; empty: the folder's own",
    )
    preset: str = Field(
        default="", max_length=100, pattern=r"^[^\r\n]*$", description="how the policy is served; empty: as it is"
    )
    threads: int = Field(default=1, ge=1, le=64, description="threads of llama.cpp")
    control_hz: float = Field(
        default=0.0, ge=0.0, le=1000.0, description="rows handed out per second; 0: the rate that it was trained at"
    )
    deadline_s: float = Field(
        default=0.25, ge=0.005, le=10.0, description="an inference that takes longer is dropped, s"
    )
    max_observation_age_s: float = Field(
        default=0.4, ge=0.01, le=10.0, description="no command rests on an observation older than this, s"
    )
    slop_s: float = Field(
        default=0.05, ge=0.0, le=10.0, description="stamps of the parts of one observation may differ by so much, s"
    )
    blend_rows: int = Field(default=2, ge=0, le=64, description="rows over which a new chunk takes over; 0: at once")
    replan_share: float = Field(
        default=0.7, ge=0.0, le=1.0, description="the next inference begins when less than this share of rows is left"
    )


class GateConfig(Section):
    """The last word before the motors: what may leave the computer, and what must be known for it."""

    rate_hz: float = Field(default=20.0, ge=5.0, le=200.0, description="the gate speaks at least so often, 1/s")
    max_command_age_s: float = Field(
        default=0.3, ge=0.05, le=0.4, description="a command that came longer ago stops the robot, s"
    )
    max_observation_age_s: float = Field(
        default=0.5, ge=0.05, le=5.0, description="what a command was derived from may be so old by its stamp, s"
    )
    max_obstacle_age_s: float = Field(
        default=0.4, ge=0.05, le=0.4, description="a scan or a pose that was taken longer ago stops the robot, s"
    )
    max_speed_mps: float = Field(default=0.5, ge=0.01, le=3.0, description="ahead, m/s")
    max_reverse_mps: float = Field(default=0.1, ge=0.0, le=3.0, description="backwards, m/s; 0: never")
    max_turn_radps: float = Field(default=1.0, ge=0.01, le=10.0, description="turning, rad/s")
    clamp_margin: float = Field(
        default=0.2, ge=0.0, le=1.0, description="share beyond a limit that is cut to it; what lies beyond is refused"
    )
    accel_mps2: float = Field(default=0.5, ge=0.01, le=20.0, description="the robot gains speed so quickly, m/s2")
    decel_mps2: float = Field(default=0.5, ge=0.01, le=20.0, description="and slows down in comfort so quickly, m/s2")
    brake_mps2: float = Field(default=1.0, ge=0.01, le=20.0, description="what its brakes surely reach, m/s2")
    turn_accel_radps2: float = Field(default=2.0, ge=0.01, le=50.0, description="changes its turning, rad/s2")
    turn_brake_radps2: float = Field(default=4.0, ge=0.01, le=50.0, description="ends its turning, rad/s2")
    latency_s: float = Field(
        default=0.15, ge=0.0, le=2.0, description="from a command that leaves the gate to the brakes' first effect, s"
    )
    front_m: float = Field(default=0.3, ge=0.01, le=10.0, description="from the axis of turning to the front, m")
    rear_m: float = Field(default=0.3, ge=0.01, le=10.0, description="from the axis of turning to the rear, m")
    half_width_m: float = Field(default=0.25, ge=0.01, le=10.0, description="half the robot's width, m")
    radius_m: float = Field(
        default=0.0, ge=0.0, le=10.0, description="of a round base; 0: the rectangle of the three above, m"
    )
    look_radps: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="a round base that a place out of view blocks turns towards it so quickly; 0: never, rad/s",
    )
    margin_m: float = Field(default=0.1, ge=0.02, le=5.0, description="room that the robot keeps around itself, m")
    sensor_x_m: float = Field(
        default=0.2, ge=-10.0, le=10.0, description="origin of the scan ahead of the axis of turning, m"
    )
    sensor_y_m: float = Field(default=0.0, ge=-10.0, le=10.0, description="and to its left, m")
    blind_m: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="nearer than this to the sensor low obstacles are out of sight: what was seen before counts, m",
    )
    assumed_clear_m: float = Field(
        default=1.0,
        ge=0.0,
        le=10.0,
        description="around the axis of turning, vouched for by who activates the gate: no camera sees there, m",
    )
    odometry: bool = Field(
        default=True, description="remember what was seen free, by odom; false: the assumed room goes with the robot"
    )
    memory_m: float = Field(
        default=5.0, ge=0.0, le=100.0, description="what was seen is forgotten after such a way (1 rad counts 0.5 m), m"
    )
    cell_m: float = Field(default=0.05, ge=0.01, le=1.0, description="side of the cells of that memory, m")
    joints: str = Field(
        default="",
        max_length=4000,
        pattern=r"^[^\r\n]*$",
        description="an arm's limits, name:low:high:speed with commas between (rad, rad/s); empty: no arm",
    )


class SimConfig(Section):
    """A home in simulation, as a robot's driver on ROS."""

    missions: int = Field(
        default=0, ge=0, le=100_000, description="how many to carry out; 0: one each time that `instruction` says so"
    )
    first: int = Field(default=0, ge=0, le=1_000_000, description="number of the first mission of the seed")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="the same seed gives the same missions and homes")
    people: int = Field(default=2, ge=0, le=6, description="how many walk about")
    disturbance: float = Field(default=1.0, ge=0.0, le=5.0, description="how much goes wrong; 0: nothing")
    time_limit_s: float = Field(default=300.0, ge=1.0, le=3600.0, description="of a mission, s")
    wait_s: float = Field(
        default=30.0, ge=0.0, le=600.0, description="a mission waits so long for the gate and the policy to be there, s"
    )


class Config(Section):
    """The whole configuration file."""

    orchestrator: OrchestratorConfig = Field(default_factory=OrchestratorConfig)
    replay: ReplayConfig = Field(default_factory=ReplayConfig)
    detector: DetectorConfig = Field(default_factory=DetectorConfig)
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    gate: GateConfig = Field(default_factory=GateConfig)
    sim: SimConfig = Field(default_factory=SimConfig)


@dataclass(frozen=True)
class FieldSpec:
    """One setting, as a ROS parameter or a command line needs it. Limits are inclusive; None: no limit."""

    name: str  # dotted: orchestrator.time_budget_s
    type: type[bool] | type[int] | type[float] | type[str]
    default: Scalar
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]  # empty: any text
    description: str

    @property
    def allowed(self) -> str:
        """The values that are accepted, in words.

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
    """Every leaf of `model`, in order of definition; names are dotted and begin with `prefix`."""
    for key, info in model.model_fields.items():
        name, annotation = prefix + key, info.annotation
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
    """The configuration in the YAML file `path`; the defaults where it is None, and for keys that it leaves out.

    Raises: InputError, one line naming file, key, value and what is allowed."""
    if path is None:
        return Config()
    values = _parse_yaml(path)
    if values is None:  # an empty file
        return Config()
    return config_from_values(values, str(path))


def config_from_values(values: Any, where: str) -> Config:
    """A `Config` from nested mappings; `where` (a file, a node) begins the message of an error.

    Raises: InputError, one line."""
    if not isinstance(values, Mapping):
        raise InputError(f"config: {where}: expected sections {', '.join(Config.model_fields)}, got {_short(values)}")
    try:
        # A section whose keys are all commented out reads as None.
        return Config.model_validate({k: {} if v is None else v for k, v in values.items()})
    except ValidationError as error:
        raise InputError(f"config: {where}: {_describe(error)}") from None


def config_from_flat(values: Mapping[str, Scalar], where: str) -> Config:
    """A `Config` from dotted names, such as ROS parameters; names that are left out keep their default.

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
    """`config` as YAML, each setting below its meaning and range."""
    values = config.model_dump()
    lines = ["# rarrl's settings. Leave out what should keep its default."]
    for section, info in Config.model_fields.items():
        model = info.annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)
        lines += ["", f"{section}:  # {(model.__doc__ or '').strip()}"]
        for spec in iter_fields(model):
            value = yaml.safe_dump(
                values[section][spec.name], default_style='"' if spec.type is str else None, width=10_000
            )
            lines += [
                f"  # {spec.description} ({spec.allowed})",
                f"  {spec.name}: {value.splitlines()[0]}",
            ]
    return "\n".join(lines) + "\n"


def _kind(name: str, annotation: Any) -> type[bool] | type[int] | type[float] | type[str]:
    for kind in (bool, int, float, str):
        if annotation is kind:
            return kind
    raise TypeError(f"{name}: a setting is a bool, int, float, str or a Literal of texts, got {annotation}")


def _parse_yaml(path: Path) -> Any:
    if "\0" in str(path):
        raise InputError(f"config: {_short(str(path))} cannot be the path of a file (it holds a NUL character)")
    if path.exists() and not path.is_dir() and not path.is_file():
        raise InputError(f"config: {path} is not a regular file; copy it to one first")
    if path.is_file() and os.path.getsize(path) > MAX_CONFIG_BYTES:
        raise InputError(f"config: {path} has more than {MAX_CONFIG_BYTES} bytes: not a configuration file")
    data = read_file(path, "config")
    try:
        return yaml.load(data, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = _one_line(error.problem or error.context or "not YAML")
        raise InputError(f"config: {path}: not plain YAML{at}: {problem}") from None
    except RecursionError:
        raise InputError(f"config: {path}: nested too deeply to be a configuration file") from None
    except (yaml.YAMLError, ValueError) as error:  # bad bytes; numbers of thousands of digits; impossible dates
        raise InputError(f"config: {path}: not plain YAML: {_one_line(str(error))}") from None


class _PlainLoader(yaml.SafeLoader):
    """YAML without what a configuration does not need: anchors and aliases (bombs), merges, keys given twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:  # of an alias too
            raise yaml.composer.ComposerError(
                None, None, "anchors (&) and aliases (*) are refused; write the value out", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag != "tag:yaml.org,2002:str":
                problem = f"a key must be text, got {_short(key)}" if key is not None else "a key must be text"
            elif key in seen:
                problem = f"key {_short(key)} is given twice; keep one"
            else:
                seen.add(key)
                continue
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
        return super().construct_mapping(node, deep)


def _describe(error: ValidationError) -> str:
    """The first fault in words; further ones are counted."""
    first = error.errors(include_url=False)[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    name = ".".join(map(str, first["loc"]))
    specs = {spec.name: spec for spec in iter_fields(Config)}
    if first["type"] == "extra_forbidden":
        return f"key {_one_line(name)} is unknown; {_suggest(first['loc'], list(specs))}{more}"
    if name not in specs:  # a scalar where a section should stand
        keys = ", ".join(spec.rpartition(".")[2] for spec in specs if spec.startswith(name + "."))
        return f"key {name}: expected a section with {keys}, got {_short(first['input'])}{more}"
    value = first["input"]
    hint = ""
    if isinstance(value, str) and specs[name].type in (int, float):
        hint = "; write a plain number without quotes, such as 20 or 0.5 (YAML reads 1e3 as text)"
    return f"key {name}: {_short(value)} is not allowed (allowed: {specs[name].allowed}){hint}{more}"


def _suggest(loc: tuple[int | str, ...], known: list[str]) -> str:
    prefix, leaf = "".join(f"{part}." for part in loc[:-1]), str(loc[-1])
    siblings = [k.removeprefix(prefix) for k in known if k.startswith(prefix)] if prefix else list(Config.model_fields)
    near = [prefix + match for match in difflib.get_close_matches(leaf, siblings, n=1)]
    near = near or [k for k in known if k.rpartition(".")[2] == leaf]  # the right key in the wrong section
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(siblings)}"


def _number(value: float) -> str:
    """
    >>> _number(1e6), _number(0.1)
    ('1000000', '0.1')
    """
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _short(value: object, limit: int = 60) -> str:
    """`repr` on one line, cut: a value from outside must not flood a message."""
    text = repr(value[:limit] if isinstance(value, str | bytes | list) else value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _one_line(text: str, limit: int = 200) -> str:
    return " ".join(text.split())[:limit]


if __name__ == "__main__":  # python -m rarrl.config > config/default.yaml
    print(to_yaml(Config()), end="")
