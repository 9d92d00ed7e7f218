"""From a policy's name to the policy: the one place that knows them all."""

from __future__ import annotations

import json
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rarrl.errors import InputError
from rarrl.files import read_file
from rarrl.orchestrator.learned import MODELS, load_learned
from rarrl.orchestrator.rules import FAMILIES, OrchestratorPolicy, make_rule

SHIPPED = MODELS / "orchestrator"
RULES_FILE = SHIPPED / "rules.json"
RECORDED_RULES_FILE = SHIPPED / "recorded_rules.json"
"""The rules tuned on recorded answers."""
HOUSEHOLD_RULES_FILE = SHIPPED / "household_rules.json"
"""The rules tuned on missions in homes, for the condition `mission`."""


def tuned_parameters(condition: str = "binding", file: Path | None = None) -> dict[str, dict[str, Any]]:
    """Parameters per rule family as `rarrl tune rules` found them under `condition`; `file`: default RULES_FILE."""
    file = file or RULES_FILE
    table = json.loads(read_file(file, "tuned rules"))["conditions"]
    if condition not in table:
        raise InputError(f"{file.name}: no condition {condition!r}; allowed: {', '.join(table)}")
    return {family: entry["params"] for family, entry in table[condition].items()}


def load_policy(spec: str, recorded: bool = False, household: bool = False) -> OrchestratorPolicy:
    """The policy that `spec` names. recorded: rules have the parameters tuned on recorded answers; household: on
    missions in homes.

    `learned` (shipped weights), `recorded` (those for recorded answers), `household` (those for missions in homes),
    `FAMILY` (a rule, tuned), `FAMILY:{"key": value}` (a rule with parameters), or the path of a safetensors file or
    its folder.
    Raises: InputError with the known names."""
    family, _, text = spec.partition(":")
    if spec == "learned":
        return load_learned(SHIPPED)
    if spec in ("recorded", "household"):
        return load_learned(SHIPPED / f"{spec}.safetensors")
    if family in FAMILIES:
        if not text:
            if household:
                tuned = tuned_parameters("mission", HOUSEHOLD_RULES_FILE)
            else:
                tuned = tuned_parameters(file=RECORDED_RULES_FILE if recorded else RULES_FILE)
            return make_rule(family, **tuned.get(family, {}))
        try:
            params = json.loads(text)
        except ValueError as error:
            raise InputError(f"policy {spec!r}: the parameters are not JSON ({error})") from None
        if not isinstance(params, dict):
            raise InputError(f'policy {spec!r}: parameters must be a JSON object such as {{"recipe": "P1"}}')
        return make_rule(family, **params)
    path = Path(spec)
    # os.path: pathlib's exists() raises for names that no file system allows
    if os.path.exists(spec) or path.suffix or "/" in spec:
        return load_learned(path)
    names = ("learned", *FAMILIES, "recorded", "household")
    close = get_close_matches(spec, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InputError(f"policy {spec!r} is unknown; allowed: {', '.join(names)}, or a safetensors file{hint}")
