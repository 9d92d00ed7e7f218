"""Vectorised household missions on recorded answers, without driving: what the orchestrator trains on.

Has the interface of `AlfredReplayCore`, so that training (`rarrl_sim_envs.alfred.sb3_vec_env`), rules and rollouts run
on it as they are. An episode is one task of a recorded profile (`answers`): its mission, with people and luck of its
own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.latency.profile import LatencyProfile
from rarrl.orchestrator.features import ALL_FEATURE_NAMES, N_TYPES, History, PlanView, Situation, encode, type_of
from rarrl.reasoner.nearest import NearestGoal
from rarrl.types import Action, ActStatus, CallStatus
from rarrl_sim_envs.alfred.core import SHOCK_LEAVES, EpisodeParams, Floats, StepResult
from rarrl_sim_envs.alfred.recorded_core import Recordings
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.executive import HouseholdExecutive
from rarrl_sim_envs.household.robot.teleport_driver import TeleportDriver
from rarrl_sim_envs.household.tasks import Mission

from .record_answers import MissionAnswers

# As `StepResult.act_status` counts them.
_STATUS = {ActStatus.SUCCESS: 0, ActStatus.FAILURE: 1, ActStatus.LOST: 2}


class _Twin(HouseholdEnv):
    """The twin without people. missions: by seed, kept once they are drawn. luck: what goes wrong, of the next."""

    def __init__(self, missions: dict[int, Mission], disturbance: float) -> None:
        super().__init__(stereo=False, people=0, disturbance=disturbance)
        self._missions = missions
        self.luck = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As of any household, but for the luck."""
        assert seed is not None
        if seed not in self._missions:
            super().reset(seed=seed, options=options)
            self._missions[seed] = self.mission
        self.begin(self._missions[seed], self.luck)
        return {}, {}


class RecordedMissionsCore:
    """n missions side by side: `begin` starts some of them, `step` takes one decision in each.

    An action that the mask forbids is executed as ACT. Latencies are scaled and jittered, budgets cut (`shock_at`
    counts sub-goals) as `EpisodeParams` say."""

    def __init__(
        self,
        profile: LatencyProfile,
        known: NearestGoal,
        n: int,
        disturbance: float = 1.0,
        missions: dict[int, Mission] | None = None,
        driver: TeleportDriver | None = None,
    ) -> None:
        """missions, driver: of another core, to share its homes and routes."""
        self.recordings = Recordings.from_profile(profile)
        self.answers = MissionAnswers(profile)
        self.n = n
        self.missions = missions if missions is not None else {}
        self.driver = driver or TeleportDriver()
        self.envs = [_Twin(self.missions, disturbance) for _ in range(n)]
        self.executives = [HouseholdExecutive(env, self.driver, known, 0.0, 0.0) for env in self.envs]
        self.history = History(n)
        self.alive = np.zeros(n, dtype=bool)
        self._costs = {
            name: np.repeat(getattr(self.recordings.table.costs, name)[:, None], n, axis=1)
            for name in ("mean_s", "p95_s", "mean_tokens", "max_tokens")
        }
        self._rng = [np.random.default_rng(0)] * n
        self._row, self._shock_at, self.subgoal_type = (np.zeros(n, np.int64) for _ in range(3))
        self._numbers = np.ones((4, n))
        self.subgoal, self._count, self.acts, self.horizon = self._numbers
        self._budgets = np.zeros((7, n))
        self.time_s, self.tokens, self._time_0, self._tokens_0, self.cost_weight = self._budgets[:5]
        self._scale, self._jitter = self._budgets[5:]
        self._remaining = np.zeros((N_TYPES, n))
        self._status: list[Any] = [None] * n

    def begin(self, where: NDArray[np.int64], params: EpisodeParams) -> None:
        """Starts an episode in each of the environments `where` (m,)."""
        self._row[where] = params.row
        self._shock_at[where] = params.shock_at
        self._budgets[:, where] = (
            params.time_s,
            params.tokens,
            params.time_s,
            params.tokens,
            params.cost_weight,
            params.latency_scale,
            params.jitter,
        )
        self.history.reset(where)

        self.alive[where] = True
        for i, seed in zip(where.tolist(), params.seed.tolist(), strict=True):
            self._rng[i] = np.random.default_rng(seed)
            self.envs[i].luck = int(seed % (1 << 31))
            executive = self.executives[i]
            executive.start_budget(float(self.time_s[i]), float(self.tokens[i]))
            executive.begin(self.answers.seed(int(self._row[i])))
            self._look(i)

    def _look(self, i: int) -> None:
        """What mission i looks like now."""
        executive = self.executives[i]
        summary = executive.summary
        current = min(summary.subgoal_index, len(summary.subgoals) - 1)
        types = [type_of(step.name) for step in summary.subgoals]
        self.subgoal_type[i] = types[current]
        self._remaining[:, i] = np.bincount(types[current + 1 :], minlength=N_TYPES)
        self._numbers[:, i] = summary.subgoal_index, len(summary.subgoals), summary.step, summary.horizon
        self.time_s[i], self.tokens[i] = executive.budget_left
        self._status[i] = executive.status

    def situation(self) -> Situation:
        """What the policies may see."""
        s = self._status

        def of(name: str) -> Floats:
            return np.array([getattr(status, name) for status in s], dtype=np.float64)

        plan = PlanView(
            source=np.array([status.source for status in s]),
            confidence=of("confidence"),
            similarity=of("similarity"),
            verdict=of("verdict"),
            verdict_level=of("verdict_level"),
            p_ok=of("p_ok"),
            answered=np.array([status.answered for status in s]).T,
            agreeing=of("agreeing"),
            contradicted=np.array([status.contradicted for status in s]),
            words=of("words"),
            unknown=of("unknown"),
        )

        return Situation(
            subgoal_type=self.subgoal_type,
            remaining=self._remaining,
            subgoal_index=self.subgoal,
            subgoal_count=self._count,
            step=self.acts,
            horizon=self.horizon,
            history=self.history,
            time_s=self.time_s,
            tokens=self.tokens,
            initial_time_s=self._time_0,
            initial_tokens=self._tokens_0,
            cost_weight=self.cost_weight,
            plan=plan,
            known_steps=None,
            **self._costs,
        )

    @property
    def width(self) -> int:
        """Number of features."""
        return len(ALL_FEATURE_NAMES)

    def observe(self) -> NDArray[np.float32]:
        """The encoded situation (n, features)."""
        return encode(self.situation())

    def step(self, actions: NDArray[np.int64], mask: NDArray[np.bool_] | None = None) -> StepResult:
        """Takes one decision in each living mission. `actions` (n,) int in 0..4; `mask` (5, n)."""
        n = self.n
        if mask is None:
            mask = self.situation().action_mask()
        action = np.where(mask[actions, np.arange(n)] & self.alive, actions, 0)
        thinks = action > 0
        acts = self.alive & (action == 0)
        flags = np.zeros((6, n), dtype=bool)
        call_ok, miss, shocked, done, success, finished = flags
        status = np.full(n, -1)
        numbers = np.zeros((3, n))

        seconds, tokens, exec_s = numbers
        for i in np.flatnonzero(self.alive).tolist():
            executive = self.executives[i]
            if thinks[i]:
                misses = executive.deadline_misses
                call = self._think(i, Action(int(action[i])))
                seconds[i] = call.seconds
                tokens[i] = call.tokens
                call_ok[i] = call.status is CallStatus.OK
                miss[i] = executive.deadline_misses > misses
            else:
                attempt = executive.act()
                status[i] = _STATUS[attempt.status]
                exec_s[i] = attempt.seconds
                finished[i] = attempt.subgoal_done

            done[i] = executive.done
            success[i] = executive.success
            if not executive.done and 0 <= self._shock_at[i] <= executive.summary.subgoal_index:
                left_s, left = executive.budget_left
                executive.budget_left = left_s * SHOCK_LEAVES, left * SHOCK_LEAVES
                self._shock_at[i] = -1
                shocked[i] = True
            self._look(i)

        expected = self._costs["mean_s"][np.maximum(action - 1, 0), np.arange(n)]
        self.history.record_think(action, call_ok, seconds, np.where(thinks, expected, 1.0))
        self.history.record_act(acts, status == 0, finished)
        self.alive &= ~done
        result = StepResult(status, seconds, tokens, call_ok, miss, shocked, done, success, exec_s)
        result.reward = success - self.cost_weight * seconds

        return result

    def _think(self, i: int, action: Action):  # type: ignore[no-untyped-def]
        sigma = self._jitter[i]
        stretch = self._scale[i]
        if sigma:
            stretch = stretch * np.exp(sigma * self._rng[i].standard_normal() - 0.5 * sigma * sigma)
        executive = self.executives[i]
        return executive.take(action, self.answers.answer(int(self._row[i]), action, executive.plan, float(stretch)))
