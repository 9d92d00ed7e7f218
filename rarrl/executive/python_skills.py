"""Skills that are Python callables, in this process: `run: {python: my_robot.skills:pick}`.

A callable gets the arguments of the step by name: names of places and things as text, numbers as numbers; or, where
the skill has a `goal`, what that makes of them. What it may return: `rarrl.skills.outcome.result_of`.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from rarrl.errors import InputError
from rarrl.plugins import USER_ERRORS, import_object
from rarrl.skills.domain import Domain
from rarrl.skills.outcome import SkillResult, result_of, result_of_error
from rarrl.skills.plan import Step
from rarrl.skills.skill_set import Skill
from rarrl.skills.world import PARTS

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)(?:\.(\w+))?\}")
_OF_POSE = ("x", "y", "yaw")


class PythonSkills:
    """Runs them, one after the other: a `rarrl.executive.play.SkillPlayer`.

    Args:
        domain: a robot whose skills are all run by Python; each callable is imported at once.
        clock: seconds, to measure how long a skill took that does not say so itself.

    Raises: InputError where a skill is run over ROS, or a callable is not to be had."""

    def __init__(self, domain: Domain, clock: Callable[[], float] = time.monotonic) -> None:
        self._domain = domain
        self._clock = clock
        self._callables = {name: callable_of(name, skill) for name, skill in domain.skills.skills.items()}

    def run(self, step: Step, timeout_s: float) -> SkillResult:
        """Calls the skill and waits for its end: nobody can end a Python call from outside."""
        began = self._clock()
        try:
            returned = self._callables[step.skill](**call_arguments(step, self._domain))
        except USER_ERRORS as error:  # a user's skill may raise anything
            return result_of_error(error, self._clock() - began)
        return result_of(returned, self._domain.skill(step).outcome, self._clock() - began)


def callable_of(name: str, skill: Skill) -> Callable[..., Any]:
    """The callable that runs a skill. Raises: InputError."""
    if not skill.run.python:
        raise InputError(f"skill {name}: {skill.run.server} is run over ROS, not by Python")
    found = import_object(skill.run.python, f"skill {name}")
    if not callable(found):
        raise InputError(f"skill {name}: {skill.run.python} is a {type(found).__name__}; name a function")
    given = skill.parameters if skill.run.passes_arguments else skill.run.goal
    try:
        inspect.signature(found).bind(**dict.fromkeys(given))
    except TypeError as error:
        raise InputError(
            f"skill {name}: {skill.run.python} cannot be called with {', '.join(given) or 'nothing'} ({error}); give "
            "its own arguments in run.goal, {} for none"
        ) from None
    except ValueError:  # some callables of C have no signature
        pass
    return found


def call_arguments(step: Step, domain: Domain) -> dict[str, Any]:
    """Keyword -> value of the call that runs a step."""
    skill, values = domain.skill(step), dict[str, Any](domain.arguments(step))
    for name, parameter in skill.parameters.items():
        if "number" in parameter.kinds and values[name] not in domain.values(parameter):
            values[name] = float(values[name])
    if skill.run.passes_arguments:
        return values
    return {name: _filled(value, values, domain) for name, value in skill.run.goal.items()}


def _filled(value: Any, arguments: Mapping[str, Any], domain: Domain) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, arguments, domain) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, arguments, domain) for each in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole is not None:  # keeps its type
        return _looked_up(whole, arguments, domain)
    return _PLACEHOLDER.sub(lambda found: str(_looked_up(found, arguments, domain)), value)


def _looked_up(found: re.Match[str], arguments: Mapping[str, Any], domain: Domain) -> Any:
    """An argument, or a field of the place or thing that it names, such as its pose."""
    name, field = found.groups()
    value = arguments[name]
    if field is None:
        return value
    entry = domain.world.named.get(value)
    kept = getattr(entry, field, None) if entry is not None and field in type(entry).model_fields else None
    pose = getattr(entry, "pose", None)
    if field in _OF_POSE and pose is not None:
        kept = pose[_OF_POSE.index(field)]
    elif kept is None:
        kept = getattr(entry, "values", {}).get(field)
    if kept is None:
        raise InputError(f"{value} has no {field} in world.yaml" + ("" if field in PARTS else ", under values"))
    return list(kept) if isinstance(kept, tuple) else kept
