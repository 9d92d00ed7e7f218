"""Makes the profiles that come with the package: `python -m rarrl_learning.latency.ship llmperf_latency.csv`.

The requests are those of https://github.com/ray-project/llmperf-leaderboard (raw_data/individual, Apache-2.0).
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from rarrl.errors import InputError
from rarrl.latency.profile import PROFILE_DIR, LatencyProfile, ParametricOption, ProfileHeader, save_profile

from .import_logs import ANSWER_MEDIAN_TOKENS, MIN_VALID, MIN_VALID_SHARE, PROMPT_TOKENS, Origin, import_log

SIZE = "70b"  # the model size of the shipped profiles
# Those with enough answered requests of that size.
PROVIDERS = ("anyscale", "bedrock", "fireworks", "groq", "perplexity", "replicate", "together")
COMMAND = "python -m rarrl_learning.latency.ship llmperf_latency.csv"

# arXiv 2603.16673 gives 0.82 s mean and 1.34 s at the 95 % quantile: these two give mu and sigma exactly.
GPT4O_MINI_MU = -0.2536  # of ln(seconds)
GPT4O_MINI_SIGMA = 0.3321  # of ln(seconds)
GPT4O_MINI_TOKENS_OUT = 120  # of the 380 tokens a call; the other 260 are taken to be the prompt


def shipped_import(csv: Path, provider: str) -> LatencyProfile:
    """The profile of one provider. Raises: InputError where too few of its requests were answered."""
    origin = Origin(
        model="Llama-2-70b-chat",
        date="2023-12",
        source="https://github.com/ray-project/llmperf-leaderboard raw_data/individual, "
        "commit 27aa9b6a6c4282f6d5599b9199fbb57256a2dcd8",
        licence="Apache-2.0",
        command=COMMAND,
    )
    profile = import_log(csv, provider, SIZE, seed=0, origin=origin).profile
    records = profile.records or ()
    answered = sum(record.finish != "error" for record in records) // 4
    if answered < MIN_VALID or answered < MIN_VALID_SHARE * len(records) / 4:
        raise InputError(f"{csv}: only {answered} answered requests of {provider} {SIZE}; too few to ship")

    return profile


def gpt4o_mini_anchor() -> LatencyProfile:
    """The paper's LLM as a lognormal; other roles and levels scaled by answer length at one time per token."""
    base = ANSWER_MEDIAN_TOKENS["planner", 1]
    options = tuple(
        ParametricOption.model_validate(
            {
                "role": role,
                "level": level,
                "mu": round(GPT4O_MINI_MU + math.log(median / base), 4),
                "sigma": GPT4O_MINI_SIGMA,
                "tokens_in": PROMPT_TOKENS[role],
                "tokens_out": round(GPT4O_MINI_TOKENS_OUT * median / base),
                "error_rate": 0.0,
            }
        )
        for (role, level), median in ANSWER_MEDIAN_TOKENS.items()
    )
    ratios = ", ".join(f"{role} {level}: {median}/{base}" for (role, level), median in ANSWER_MEDIAN_TOKENS.items())
    header = ProfileHeader(
        name="gpt4o-mini-anchor",
        kind="parametric",
        measured="planner level 1 by the paper: 0.82 s mean, 1.34 s at the 95 % quantile, 380 tokens a call",
        model="GPT-4o-mini",
        hardware="OpenAI API (not disclosed)",
        date="2026-03",
        source="arXiv 2603.16673",
        licence="published figures",
        assumptions=(
            "lognormal; 260 of the 380 tokens are the prompt; other roles and levels are not in the paper: their time "
            f"and answer tokens are scaled by the answer-length ratios {ratios} at one time per token, with no fixed "
            "time to first token, so short answers are on the optimistic side; no failed calls"
        ),
        command=COMMAND,
    )

    return LatencyProfile(schema_version=1, header=header, parametric=options)


def ship(csv: Path, folder: Path = PROFILE_DIR) -> list[Path]:
    """Writes every shipped profile into `folder`; the same log gives the same bytes."""
    profiles = [gpt4o_mini_anchor(), *(shipped_import(csv, provider) for provider in PROVIDERS)]
    paths = [folder / f"{profile.name}.json" for profile in profiles]
    for profile, path in zip(profiles, paths, strict=True):
        save_profile(profile, path)
    return paths


if __name__ == "__main__":
    try:
        print("\n".join(str(path) for path in ship(Path(sys.argv[1]))))
    except (IndexError, InputError) as problem:
        sys.exit(f"usage: {COMMAND} ({problem})")
