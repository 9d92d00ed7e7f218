"""From which ranges random skill sets are drawn: those to learn from, and those that are held out.

A pair is a range; where it is drawn log-uniformly, its text says so. No public record tells how skills of robots are
spread: the ranges are assumptions, wide enough that ALFRED's world and pyrobosim's lie within."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class SkillRanges:
    """The distribution of robots.

    steps: of a plan. skills: different ones of a robot. parts: attempts that a step needs at most (a long drive is made
        in parts).
    failures: mean failure share of a robot's skills, log-uniform; spread: standard deviation of its logarithm within a
        robot.
    careless: share of the robots without any irreversible failure; risky: share of the other robots' skills that have
        them; irreversible: share of such a skill's failures.
    looks: share of the skills that find out and change nothing.
    seconds: of a skill, log-uniform.
    bias: by how much all that the maker says of failures is wrong, in logits, either way; error: the same by skill.
    weight: attempts that the maker's word is worth. experience: attempts of each skill that the robot remembers,
        log-uniform, less one. silent: share of the skills of which the maker says nothing of what cannot be undone.
    hard_scenes, hard_low, hard_high: share of hard scenes; chance that a step is hard in an easy, a hard one.
    easy: share of a skill's failures that remain at u = 0. penalty: added per failure in a row.
    help_1: share of the failures that advice of level 1 prevents, at u = 1; help_2: of the others, by level 2.
        useless: share of the robots whose planner, and whose verifier, helps nothing.
    slack: attempts allowed, in attempts needed. counting: share of the robots that give a step up after as many
        failed attempts as `retries` says (and tell how many are left). believing: share of the robots that notice
        beliefs which an outcome contradicts.
    default_right, planner_1, planner_2: chance that a plan is right, where plans are kept: that of the robot itself,
        of level 1, and of level 2 among those that level 1 gets wrong. judge: share of right verdicts. told: how well
        confidence tells right plans from wrong ones, in standard deviations."""

    steps: tuple[int, int] = (1, 10)
    skills: tuple[int, int] = (2, 8)
    parts: tuple[int, int] = (1, 3)
    failures: Range = (0.03, 0.35)
    spread: Range = (0.2, 1.0)
    careless: float = 0.25
    risky: Range = (0.2, 0.9)
    irreversible: Range = (0.05, 1.0)
    looks: float = 0.15
    seconds: Range = (0.2, 60.0)
    bias: Range = (0.0, 1.0)
    error: Range = (0.0, 1.0)
    weight: Range = (1.0, 10.0)
    experience: Range = (1.0, 200.0)
    silent: float = 0.2
    hard_scenes: Range = (0.1, 0.7)
    hard_low: Range = (0.0, 0.2)
    hard_high: Range = (0.5, 1.0)
    easy: Range = (0.0, 0.5)
    penalty: Range = (0.0, 0.1)
    help_1: Range = (0.2, 0.8)
    help_2: Range = (0.1, 0.8)
    useless: float = 0.1
    slack: Range = (1.2, 3.0)
    counting: float = 0.4
    retries: tuple[int, int] = (1, 5)
    believing: float = 0.5
    default_right: Range = (0.1, 0.9)
    planner_1: Range = (0.2, 0.95)
    planner_2: Range = (0.0, 0.7)
    judge: Range = (0.55, 0.95)
    told: Range = (0.3, 3.0)


TRAINING_SETS = SkillRanges()
"""What the shipped weights and rules have learned from."""
HELD_OUT_SETS = SkillRanges(
    steps=(11, 16),
    skills=(9, 12),
    failures=(0.02, 0.2),
    spread=(1.0, 1.4),
    careless=0.0,
    risky=(0.1, 0.6),
    bias=(1.0, 1.5),
    experience=(200.0, 2000.0),
    hard_scenes=(0.7, 0.9),
    help_1=(0.3, 0.7),
    slack=(1.2, 2.0),
)
"""Robots that nothing was fitted to: plans longer than any in training, more skills that differ more, makers whose word
is further off than any in training, robots older than any in training, harder worlds, and other seeds."""
