"""From the name of an orchestrator policy to the policy: the one place that knows them all.

`rarrl.build.make_orchestrator` is the way in; it finds out from the latency profile what a name means.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from rarrl.errors import InputError
from rarrl.orchestrator.learned import MODELS, load_learned
from rarrl.orchestrator.rules import RULES, OrchestratorPolicy, families, make_rule
from rarrl.plugins import did_you_mean, is_import_path, make_by_path
from rarrl.strict_json import read_json, short

SHIPPED = MODELS / "orchestrator"
RULES_FILE = SHIPPED / "rules.json"
RECORDED_RULES_FILE = SHIPPED / "recorded_rules.json"
"""The rules tuned on recorded answers."""
SKILLSET_RULES_FILE = SHIPPED / "skillset_rules.json"
"""The rules tuned on random skill sets: under `binding` where advice helps the next attempts, under `answers` where
robots keep plans."""
HOUSEHOLD_RULES_FILE = SHIPPED / "household_rules.json"
"""The rules tuned on missions in homes, for the condition `mission`."""
HOSTED_RULES_FILE = SHIPPED / "household_hosted_rules.json"
"""Rules tuned on missions in homes at hosted models' latencies, for the conditions `standing` and `beside`."""


class Fitted(str, Enum):
    """What the shipped weights and the rules' parameters were fitted to.

    LATENCIES: calls whose cost alone is known; a call helps the next attempt with a modelled probability.
    ANSWERS: recorded answers to ALFRED's goals, right or wrong.
    HOUSEHOLD: recorded answers in missions of the simulated home.
    SKILLS: random skill sets, beside ALFRED: for robots whose skills nobody knew when they were fitted."""

    LATENCIES = "latencies"
    ANSWERS = "answers"
    HOUSEHOLD = "household"
    SKILLS = "skills"


@dataclass(frozen=True)
class _Names:
    """What `learned` and a rule without parameters mean. weights: a file of SHIPPED. condition: of the tuned rules."""

    weights: str
    condition: str


_MEANT = {
    Fitted.LATENCIES: _Names("policy.safetensors", "binding"),
    Fitted.ANSWERS: _Names("recorded.safetensors", "binding"),
    Fitted.HOUSEHOLD: _Names("household.safetensors", "mission"),
    Fitted.SKILLS: _Names("nameless.safetensors", "answers"),
}
_BY_NAME = {
    "recorded": "recorded.safetensors",
    "household": "household.safetensors",
    "household_beside": "household_beside.safetensors",
    "nameless": "nameless.safetensors",
}
"""Shipped weights that have a name of their own, whatever the profile is. household_beside: nine choices, for missions
in homes at the latencies of hosted models."""


def rules_file(fitted: Fitted) -> Path:
    """The file of the rules' parameters that were tuned on `fitted`."""
    return {
        Fitted.LATENCIES: RULES_FILE,
        Fitted.ANSWERS: RECORDED_RULES_FILE,
        Fitted.HOUSEHOLD: HOUSEHOLD_RULES_FILE,
        Fitted.SKILLS: SKILLSET_RULES_FILE,
    }[fitted]


def tuned_parameters(condition: str = "binding", file: Path | None = None) -> dict[str, dict[str, Any]]:
    """Parameters per rule family as `rarrl tune rules` found them under `condition`; `file`: default RULES_FILE."""
    file = file or RULES_FILE
    value = read_json(file, "tuned rules")
    table = value.get("conditions") if isinstance(value, dict) else None
    if not isinstance(table, dict) or not all(_holds_rules(entry) for entry in table.values()):
        raise InputError(f"tuned rules: {file} is none of ours (conditions -> rule -> params); run `rarrl tune rules`")
    if condition not in table:
        raise InputError(f"{file.name}: no condition {condition!r}; allowed: {', '.join(table)}")
    return {family: entry["params"] for family, entry in table[condition].items()}


def _holds_rules(condition: Any) -> bool:
    return isinstance(condition, dict) and all(
        isinstance(entry, dict) and isinstance(entry.get("params"), dict) for entry in condition.values()
    )


def load_policy(spec: str, fitted: Fitted = Fitted.LATENCIES) -> OrchestratorPolicy:
    """The policy that `spec` names.

    Args:
        spec: `learned` (the shipped weights for `fitted`), `recorded`, `household`, `nameless` (those for recorded
            answers, for missions in homes, for any robot's skills), `household_beside` (for missions in homes, thinking
            beside acting), `FAMILY` (a rule with the parameters tuned for
            `fitted`), `FAMILY:{"key": value}` (a rule with these), the path of a safetensors file or its folder, or
            `package.module:Class`.
        fitted: what kind of profile it is for.

    Raises: InputError with the known names."""
    if spec == "learned":
        return load_learned(SHIPPED / _MEANT[fitted].weights)
    if spec in _BY_NAME:
        return load_learned(SHIPPED / _BY_NAME[spec])

    family, _, text = spec.partition(":")
    if family in RULES:
        if text:
            return make_rule(family, **_parameters(spec, text))
        # risk_share reads what skills are expected to do, and is tuned where they are drawn, whatever the profile is.
        kind = Fitted.SKILLS if RULES[family].needs_skills else fitted
        condition = "binding" if kind is Fitted.SKILLS and RULES[family].needs_guard else _MEANT[kind].condition
        tuned = tuned_parameters(condition, rules_file(kind))
        return make_rule(family, **tuned.get(family, {}))

    # os.path: pathlib's exists() raises for names that no file system allows
    exists = os.path.exists(spec)
    if is_import_path(spec) and not exists:
        policy: OrchestratorPolicy = make_by_path(spec, "policy", ("name", "act"), families())
        return policy
    path = Path(spec)
    # Parameters hold points and slashes of their own: 'interva:{"rate": 0.5}' is a misspelt rule and no path.
    with_parameters = text.lstrip().startswith("{")
    if exists or (not with_parameters and (path.suffix or "/" in spec)):
        return load_learned(path)

    names = ("learned", *families(), *_BY_NAME)
    raise InputError(
        f"policy {spec!r} is unknown; allowed: {', '.join(names)}, a safetensors file, or package.module:Class"
        f"{did_you_mean(family if with_parameters else spec, names)}"
    )


def _parameters(spec: str, text: str) -> dict[str, Any]:
    """The parameters behind the colon of `spec`. Raises: InputError."""
    try:
        params = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"policy {short(spec)}: the parameters are not JSON ({error})") from None
    if not isinstance(params, dict):
        raise InputError(f'policy {spec!r}: parameters must be a JSON object such as {{"recipe": "P1"}}')
    return params
