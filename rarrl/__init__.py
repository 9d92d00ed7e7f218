"""rarrl: see, act, and decide when to think, on the computer that a robot carries.

    import rarrl

    detector = rarrl.make_detector(rig)                  # stereo pair -> voxels
    policy = rarrl.make_policy("runs/my_policy")         # observation -> chunk of actions
    reasoner = rarrl.make_reasoner("llama")              # request -> plan or verdict
    orchestrator = rarrl.make_orchestrator("learned")    # situation -> ACT or THINK(role, level)

`rarrl.build` describes the four, and `PUBLIC` lists what else can be imported from here. `import rarrl` itself loads
nothing: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rarrl.build import make_detector, make_orchestrator, make_policy, make_reasoner
    from rarrl.config import Config, load_config
    from rarrl.decision_loop import play_episode, replay
    from rarrl.errors import DependencyMissingError, InputError, RarrlError
    from rarrl.policy.base import ActionChunk, Observation
    from rarrl.reasoner.base import Answer, Request
    from rarrl.types import StereoPair

__version__ = "0.1.0"

PUBLIC = {
    "make_detector": "rarrl.build",
    "make_orchestrator": "rarrl.build",
    "make_policy": "rarrl.build",
    "make_reasoner": "rarrl.build",
    "Config": "rarrl.config",
    "load_config": "rarrl.config",
    "play_episode": "rarrl.decision_loop",
    "replay": "rarrl.decision_loop",
    "DependencyMissingError": "rarrl.errors",
    "InputError": "rarrl.errors",
    "RarrlError": "rarrl.errors",
    "ActionChunk": "rarrl.policy.base",
    "Observation": "rarrl.policy.base",
    "Answer": "rarrl.reasoner.base",
    "Request": "rarrl.reasoner.base",
    "StereoPair": "rarrl.types",
}
"""Public name -> the module that defines it."""
__all__ = [
    "ActionChunk",
    "Answer",
    "Config",
    "DependencyMissingError",
    "InputError",
    "Observation",
    "RarrlError",
    "Request",
    "StereoPair",
    "load_config",
    "make_detector",
    "make_orchestrator",
    "make_policy",
    "make_reasoner",
    "play_episode",
    "replay",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'rarrl' has no attribute {name!r}")
    value = getattr(importlib.import_module(PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
