"""Makes the parts of a robot from a configuration, or from plain values: the one place where they are put together.

    make_detector      stereo pair -> voxels
    make_policy        observation -> chunk of actions
    make_reasoner      request -> plan or verdict of a language model
    make_orchestrator  situation -> ACT or THINK(role, level)

Each part has a table of what is shipped, which is open to users: `rarrl.orchestrator.rules.register_rule`,
`rarrl.policy.registry.register_policy`, `rarrl.reasoner.registry.register_reasoner`. Without registering anything, a
class or function of your own is named by its import path, `package.module:Class`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rarrl.alfred_plans import ALFRED_DOMAIN
from rarrl.clock import Clock
from rarrl.config import DetectorConfig, LanguageModelConfig, OrchestratorConfig, PolicyConfig
from rarrl.errors import InputError
from rarrl.latency.profile import MAX_SECONDS, LatencyProfile, World, load_profile
from rarrl.latency.replay import ReplayTable
from rarrl.orchestrator.abstain import load_abstention
from rarrl.orchestrator.features import Costs
from rarrl.orchestrator.orchestrator import Orchestrator
from rarrl.orchestrator.registry import Fitted, load_policy
from rarrl.orchestrator.rules import OrchestratorPolicy
from rarrl.orchestrator.running_costs import RunningCosts
from rarrl.reasoner.base import Reasoner, Request
from rarrl.reasoner.breaker import CircuitBreaker, GuardedReasoner
from rarrl.reasoner.card import checked_model
from rarrl.reasoner.plan import Plan
from rarrl.reasoner.registry import ReasonerOptions, make_backend, register_reasoner
from rarrl.resources.own_share import OwnShare
from rarrl.skills.operator_policy import OperatorPolicy
from rarrl.strict_json import short
from rarrl.types import CALL_TIMEOUT_S

if TYPE_CHECKING:
    from rarrl.perception.classical import ClassicalDetector
    from rarrl.perception.rig import CameraRig
    from rarrl.perception.voxels import GridSpec
    from rarrl.policy.base import LoadedPolicy

SHIPPED_MODELS = Path(__file__).resolve().parent / "models" / "planner"
ONLINE, STATIC = "online", "static"
"""Values of `orchestrator.costs`."""
REPLAYED = "profile"
"""Value of `orchestrator.reasoner` with which no reasoner is asked: the robot's side replays the profile's calls."""


def make_detector(
    rig: CameraRig, grid: DetectorConfig | GridSpec | str = "indoor", quality: str = "accurate"
) -> ClassicalDetector:
    """The stereo detector for the camera `rig`.

    Args:
        rig: the rectified stereo camera, such as `CameraRig.from_values` gives it.
        grid: which voxels it fills: the name of a preset (indoor, near, outdoor), a `GridSpec` of your own, or the
            section `detector` of a configuration, which holds the quality too.
        quality: accurate, fast, which takes about half the time, or quick, which takes about a third.

    Raises: InputError for an unknown preset or quality, or a cube that is no whole number of voxels."""
    from rarrl.perception.camera_input import grid_of
    from rarrl.perception.detectors import detector_class
    from rarrl.perception.voxels import grid_spec

    if isinstance(grid, DetectorConfig):
        return detector_class(grid.quality)(rig, grid_of(grid))
    return detector_class(quality)(rig, grid_spec(grid) if isinstance(grid, str) else grid)


def make_policy(
    policy: PolicyConfig | str | Path = "", *, gguf: str | Path | None = None, preset: str = "", threads: int = 1
) -> LoadedPolicy:
    """The action policy that `policy` names, loaded in this process. Close it after use, or use it with `with`.

    A robot runs it in a process of its own, which this function serves too: `rarrl.policy.process.ProcessPolicy`.

    Args:
        policy: the section `policy` of a configuration (it then holds the other arguments, too), or one of
            FOLDER: a folder as `rarrl train policy` writes it; empty: the shipped one for Meta-World,
            metaworld, household, tabletop, libero_object, libero_goal, libero_spatial: a shipped one,
            hf:ORG/NAME@COMMIT: a folder on the Hugging Face hub, downloaded once,
            openvla:FOLDER#package.module:features: an OpenVLA checkpoint, see docs/how-to/run-an-openvla-checkpoint.md,
            package.module:Class: a class of your own, or a function that returns a `rarrl.policy.base.Policy`; it is
            called without arguments,
            NAME or NAME:TEXT: what `rarrl.policy.registry.register_policy` was given.
        gguf: another transformer for the folder, such as a quantized one. Policy folders and OpenVLA alone.
        preset: what to leave out for speed: a file of the folder's `presets`. Policy folders alone.
        threads: of llama.cpp.

    Raises: InputError for an unknown form, with those that there are, files that do not fit, or no threads;
        DependencyMissingError without llama-cpp-python."""
    from rarrl.policy import registry

    if isinstance(policy, PolicyConfig):
        config = policy
        return registry.load_policy(config.folder, registry.PolicyOptions(config.gguf, config.preset, config.threads))
    if not isinstance(threads, int) or threads < 1:
        raise InputError(f"make_policy: threads must be a whole number of at least 1, got {threads!r}")
    return registry.load_policy(str(policy), registry.PolicyOptions(str(gguf or ""), preset, threads))


def make_reasoner(
    reasoner: str,
    *,
    policy: OperatorPolicy | None = None,
    settings: LanguageModelConfig | None = None,
    plans: Mapping[str, Plan] | None = None,
    seed: int = 0,
    clock: Clock | None = None,
    node: Any = None,
) -> GuardedReasoner:
    """The reasoner that is named, behind the circuit breaker and the plan checker. Close it after use.

    Args:
        reasoner: one of
            llama: the shipped model in llama.cpp; llama:PATH.gguf: another one,
            openai:URL#MODEL: a server that speaks OpenAI's protocol,
            profile:NAME: what calls of a latency profile cost, with the answers in `plans`,
            llama_ros:ACTION: in orchestrator_node, an action server of llama_ros,
            package.module:Class: a class of your own, or a function that returns a `rarrl.reasoner.base.Reasoner`; it
            is called without arguments,
            NAME or NAME:TEXT: what `rarrl.reasoner.registry.register_reasoner` was given.
        policy: the operator's, for the plan checker; None: the checker's default.
        settings: the section `language_model` of a configuration: threads, token caps, headers ...; None: the defaults.
        plans: of `profile:` alone: goal sentence -> right plan.
        seed: of `profile:` alone: of its draws.
        clock: of `profile:` alone, and of the circuit breaker's cool-down.
        node: the ROS node that asks; only what speaks ROS needs it.

    Raises: InputError: an unknown form, a model that cannot be loaded, a bad URL, no such profile.
        DependencyMissingError without llama-cpp-python."""
    if policy is not None:
        ALFRED_DOMAIN.under(policy)  # a wrong name in it is told before a model is loaded
    options = ReasonerOptions(settings or LanguageModelConfig(), plans, seed, clock, node)
    return GuardedReasoner(make_backend(reasoner, options), policy, CircuitBreaker(clock=clock))


def make_orchestrator(
    policy: OrchestratorConfig | OrchestratorPolicy | str = "learned",
    profile: LatencyProfile | str | Path = "gpt4o-mini-anchor",
    cost_weight: float = 0.004,
    *,
    world: World | None = None,
    call_timeout_s: float = CALL_TIMEOUT_S,
    live: bool = False,
    costs: str = ONLINE,
    abstain: str = "",
    reasoner: str = "",
) -> Orchestrator:
    """The orchestrator of one robot.

    What the latency profile says of itself decides which parameters a rule has, and which weights `learned` means:
    those fitted on latencies alone, on recorded answers, on missions in homes, or, with `world` SKILLS, for skills that
    nobody knew. Its name decides nothing.

    Args:
        policy: the section `orchestrator` of a configuration (it then holds profile and cost weight, too), a policy
            object, or one of
            learned: the shipped weights that were trained for such a profile,
            FAMILY: a rule with the parameters tuned for such a profile; FAMILY:{"key": value}: with these,
            recorded, household, nameless: the weights trained on recorded answers, on missions in homes, or for any
            robot's skills,
            PATH: a safetensors file or its folder,
            package.module:Class: a class of your own, or a function that returns an
            `rarrl.orchestrator.rules.OrchestratorPolicy`; it is called without arguments.
        profile: what calls cost: the name of a shipped latency profile, a path, or one that is loaded.
        cost_weight: RARRL's lambda, points of success per second of thinking.
        world: where the robot acts, if not where the profile was recorded; one of latencies alone belongs to no world.
            None: the profile's own.
        call_timeout_s: no call may take longer than this, however much budget is left, seconds.
        live: a language model is asked for real, or its calls are slower than the profile's. False: the profile is
            right. The section `orchestrator` says it itself.
        costs: of live calls. online: what they are expected to cost follows the calls that are made (`RunningCosts`);
            static: the profile is believed. The section `orchestrator` says it itself.
        abstain: path of a file that says when the robot asks a person (`rarrl.orchestrator.abstain`); "": never.
        reasoner: what is asked, as `make_reasoner` takes it. Of a model on this computer it is seen before a call how
            busy its cores are. The section `orchestrator` says it itself.

    Raises: InputError for an unknown policy or profile, with the allowed names, or a negative price."""
    if isinstance(policy, OrchestratorConfig):
        config = policy
        return make_orchestrator(
            config.policy,
            config.profile,
            config.cost_weight,
            world=world,
            call_timeout_s=call_timeout_s,
            live=live or config.reasoner != REPLAYED,
            costs=config.costs,
            abstain=config.abstain,
            reasoner=config.reasoner,
        )
    if not 0 <= cost_weight < math.inf:  # NaN is neither
        raise InputError(f"make_orchestrator: cost_weight must be a finite number of at least 0, got {cost_weight!r}")
    if costs not in (ONLINE, STATIC):
        raise InputError(f"make_orchestrator: costs {short(costs)} is unknown (allowed: {ONLINE}, {STATIC})")
    if not isinstance(profile, LatencyProfile):
        profile = load_profile(profile)
    if isinstance(policy, str):
        policy = load_policy(policy, fitted_for(profile, world))
    recorded = ReplayTable.from_profile(profile).costs
    known: Costs = recorded
    if live and costs == ONLINE:
        on_this_computer = reasoner.partition(":")[0] == "llama"
        known = RunningCosts(recorded, slowdown=OwnShare().slowdown if on_this_computer else None)
    abstention = load_abstention(Path(abstain)) if abstain else None
    return Orchestrator(policy, known, cost_weight, call_timeout_s, abstention)


def fitted_for(profile: LatencyProfile, world: World | None = None) -> Fitted:
    """Which weights and rules belong to `profile`; `world`: see `make_orchestrator`."""
    where = world or profile.world
    if where is World.HOUSEHOLD:
        return Fitted.HOUSEHOLD
    if where is World.SKILLS:
        return Fitted.SKILLS
    return Fitted.ANSWERS if profile.recorded else Fitted.LATENCIES


def llama_file(spec: str) -> Path:
    """The GGUF file of `llama` or `llama:PATH`. Raises: InputError."""
    kind, _, rest = spec.partition(":")
    if kind != "llama" or (not rest and spec != "llama"):
        raise InputError(f"language model: {short(spec)} is no llama.cpp model (allowed: llama, llama:PATH.gguf)")
    return checked_model(Path(rest) if rest else shipped_model())


def shipped_model() -> Path:
    """The planner that comes with the package. Raises: InputError where it is not there."""
    found = sorted(SHIPPED_MODELS.glob("*.gguf"))
    if not found:
        raise InputError(f"language model: no *.gguf in {SHIPPED_MODELS}; install rarrl again, or give llama:PATH.gguf")
    return found[0]


def _llama(text: str, options: ReasonerOptions) -> Reasoner:
    from rarrl.reasoner.llama import LlamaReasoner

    return LlamaReasoner(checked_model(Path(text) if text else shipped_model()), settings=options.settings)


def _openai(text: str, options: ReasonerOptions) -> Reasoner:
    from rarrl.reasoner.openai import OpenAiReasoner

    url, _, model = text.partition("#")
    return OpenAiReasoner(url, model, options.settings)


def _replayed(name: str, options: ReasonerOptions) -> Reasoner:
    from rarrl.reasoner.replayed import ReplayedCall, ReplayedReasoner

    profile = load_profile(name)
    rng = np.random.default_rng(options.seed)

    def draw(request: Request) -> ReplayedCall:
        if profile.parametric is not None:
            option = next(o for o in profile.parametric if (o.role, o.level) == (request.role.value, request.level))
            seconds = min(float(rng.lognormal(option.mu, option.sigma)), MAX_SECONDS)
            finish = "error" if rng.random() < option.error_rate else "stop"
            return ReplayedCall(math.nan, seconds, option.tokens_in, option.tokens_out, finish)
        records = [r for r in profile.records or () if (r.role, r.level) == (request.role.value, request.level)]
        record = records[int(rng.integers(len(records)))]
        return ReplayedCall(record.ttft_s, record.total_s, record.tokens_in, record.tokens_out, record.finish)

    for role, level in (("planner", 1), ("planner", 2), ("verifier", 1), ("verifier", 2)):
        profile.require(role, level)
    return ReplayedReasoner(f"profile:{profile.name}", draw, options.plans, options.clock)


register_reasoner("llama", _llama, form="llama (the shipped model), llama:PATH.gguf", text=None)
register_reasoner("openai", _openai, form="openai:URL#MODEL")
register_reasoner("profile", _replayed, form="profile:NAME")
