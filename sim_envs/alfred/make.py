"""From a configuration to the executive of its episodes."""

from __future__ import annotations

from pathlib import Path

from rarrl.build import REPLAYED
from rarrl.config import Config
from rarrl.errors import InputError
from rarrl.secrets import hide_secrets

from .core import CATEGORIES, EpisodeBank
from .datasets import holds_answers, load_plans, load_tables
from .episodes import configured
from .executive import AlfredExecutive
from .recorded_executive import make_recorded_executive


def make_executive(config: Config, shock: bool = False) -> AlfredExecutive:
    """The executive of `config`: of the user's ALFRED data, else of plans drawn from the shipped statistics; where the
    profile holds recorded answers, of its tasks (`RecordedExecutive`).

    `shock`: in the middle of each episode the budget is cut to SHOCK_LEAVES of what is left.

    Raises: InputError for a bad profile, data set or category."""
    orchestrator, replay = config.orchestrator, config.replay
    if holds_answers(orchestrator.profile):
        return make_recorded_executive(config, shock)
    if orchestrator.reasoner != REPLAYED:
        asked = hide_secrets(orchestrator.reasoner)
        raise InputError(
            f"reasoner: {asked} needs tasks with goals and plans; choose a profile with recorded answers (household), "
            f"not {orchestrator.profile}"
        )
    (table,) = load_tables([orchestrator.profile])
    plans, _ = load_plans(Path(replay.alfred) if replay.alfred else None, replay.split if replay.alfred else None)
    try:
        bank = EpisodeBank.from_plans(plans, CATEGORIES if replay.category == "all" else (replay.category,))
    except ValueError as error:
        raise InputError(f"ALFRED: {error}; choose category all, or another data set") from None
    timeout_s = config.language_model.call_timeout_s
    return AlfredExecutive(bank, table, configured(config, shock), replay.seed, call_timeout_s=timeout_s)
