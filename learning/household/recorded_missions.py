"""Vectorised household missions on recorded answers, without driving: what the orchestrator trains on.

Has the interface of `AlfredReplayCore`, so that training (`rarrl_sim_envs.alfred.sb3_vec_env`), rules and rollouts run
on it as they are. An episode is one task of a recorded profile (`answers`): its mission, with people and luck of its
own. Calls may take another model's seconds and tokens (`hosted_calls`), and be made beside acting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rarrl.latency.profile import LatencyProfile
from rarrl.orchestrator.beside import BESIDE_FEATURE_NAMES, action_of
from rarrl.orchestrator.features import ALL_FEATURE_NAMES, N_TYPES, History, PlanView, Situation, encode, type_of
from rarrl.orchestrator.learned import with_beside
from rarrl.reasoner.nearest import NearestGoal
from rarrl.types import Action, ActStatus, CallStatus, LlmCall
from rarrl_sim_envs.alfred.core import SHOCK_LEAVES, EpisodeParams, Floats, StepResult
from rarrl_sim_envs.alfred.recorded_core import Recordings
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.robot.beside import BesideExecutive
from rarrl_sim_envs.household.robot.drivers import Driver
from rarrl_sim_envs.household.robot.executive import HouseholdExecutive
from rarrl_sim_envs.household.robot.teleport_driver import TeleportDriver
from rarrl_sim_envs.household.tasks import Mission
from rarrl_sim_envs.household.world import DT

from .hosted_calls import HostedCalls
from .record_answers import MissionAnswers

# As `StepResult.act_status` counts them.
_STATUS = {ActStatus.SUCCESS: 0, ActStatus.FAILURE: 1, ActStatus.LOST: 2}


class _Twin(HouseholdEnv):
    """The twin. missions: by seed, kept once they are drawn. luck: what goes wrong, of the next."""

    def __init__(self, missions: dict[int, Mission], disturbance: float, people: int) -> None:
        super().__init__(stereo=False, people=people, disturbance=disturbance)
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
    counts sub-goals) as `EpisodeParams` say. With `beside` the choices are nine (`rarrl.orchestrator.beside`)."""

    nameless = False  # see `AlfredReplayCore`

    def __init__(
        self,
        profile: LatencyProfile,
        known: NearestGoal,
        n: int,
        disturbance: float = 1.0,
        missions: dict[int, Mission] | None = None,
        driver: TeleportDriver | None = None,
        hosted: Sequence[HostedCalls] = (),
        beside: bool = False,
        time_share: float = 0.0,
        make_driver: Callable[[], Driver] | None = None,
        people: int = 0,
    ) -> None:
        """missions, driver: of another core, to share its homes and routes. hosted: whose seconds and tokens calls
        take, by `EpisodeParams.table`; none: those recorded. beside: with nine choices. time_share: what a second of
        the mission costs in the reward, against a second of the language model. make_driver, people: a driver for each
        mission that does not skip the way, and who walk about then."""
        self.hosted = tuple(hosted)
        self.beside = beside
        self._time_share = time_share
        self.recordings = Recordings.from_profile(profile)
        self.answers = MissionAnswers(profile)
        self.n = n
        self.missions = missions if missions is not None else {}
        self.driver = driver or TeleportDriver()
        self.envs = [_Twin(self.missions, disturbance, people) for _ in range(n)]
        kind = BesideExecutive if beside else HouseholdExecutive
        drivers = [make_driver() if make_driver else self.driver for _ in range(n)]
        self.executives = [kind(env, own, known, 0.0, 0.0) for env, own in zip(self.envs, drivers, strict=True)]
        self.history = History(n)
        self.alive = np.zeros(n, dtype=bool)
        self._costs = {
            name: np.repeat(getattr(self.recordings.table.costs, name)[:, None], n, axis=1)
            for name in ("mean_s", "p95_s", "mean_tokens", "max_tokens")
        }
        self._tables = [calls.table for calls in self.hosted] or [self.recordings.table]
        self._rng = [np.random.default_rng(0)] * n
        self._seed, self._table, self._asked = (np.zeros(n, np.int64) for _ in range(3))
        self._waits, self._free = np.zeros((2, n), dtype=bool)
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
        self._table[where] = params.table if self.hosted else 0
        self._asked[where] = 0
        for name, values in self._costs.items():
            by_table = np.stack([getattr(table.costs, name) for table in self._tables])
            values[:, where] = by_table[self._table[where]].T
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
            self._seed[i] = self.envs[i].luck = int(seed % (1 << 31))
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
        if self.beside:
            self._waits[i], self._free[i] = summary.thinking, summary.can_go_on

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
            can_go_on=self._free if self.beside else None,
            thinking=self._waits if self.beside else None,
            **self._costs,
        )

    @property
    def width(self) -> int:
        """Number of features."""
        return len(ALL_FEATURE_NAMES) + (len(BESIDE_FEATURE_NAMES) if self.beside else 0)

    def observe(self) -> NDArray[np.float32]:
        """The encoded situation (n, features)."""
        situation = self.situation()
        features = encode(situation)
        return with_beside(features, situation) if self.beside else features

    def step(self, actions: NDArray[np.int64], mask: NDArray[np.bool_] | None = None) -> StepResult:
        """Takes one decision in each living mission. `actions` (n,) int in 0..4 (..8); `mask` (5 or 9, n)."""
        n = self.n
        if mask is None:
            situation = self.situation()
            mask = situation.choice_mask() if self.beside else situation.action_mask()
        choice = np.where(mask[actions, np.arange(n)] & self.alive, actions, 0)
        thinks = choice > 0
        acts = self.alive & ~thinks
        waited = self._waits.copy()
        called = np.zeros(n, dtype=np.int64)  # the THINK whose call is over
        expected = np.ones(n)
        flags = np.zeros((6, n), dtype=bool)
        call_ok, miss, shocked, done, success, finished = flags
        status = np.full(n, -1)
        numbers = np.zeros((4, n))

        seconds, tokens, exec_s, elapsed = numbers
        for i in np.flatnonzero(self.alive).tolist():
            executive = self.executives[i]
            begun = executive.env.world.steps
            misses = executive.deadline_misses
            calls: list[LlmCall] = []
            if thinks[i]:
                calls += self._think(i, *action_of(int(choice[i])))
            else:
                attempt = executive.act()
                status[i] = _STATUS[attempt.status]
                exec_s[i] = attempt.seconds
                finished[i] = attempt.subgoal_done

            miss[i] = executive.deadline_misses > misses
            elapsed[i] = (executive.env.world.steps - begun) * DT
            if isinstance(executive, BesideExecutive):
                calls += executive.calls
                executive.calls = []
            for call in calls:
                seconds[i] += call.seconds
                tokens[i] += call.tokens
                call_ok[i] = call.status is CallStatus.OK
                if call.status is not CallStatus.WITHDRAWN:  # which tells nothing of calls
                    called[i] = call.action
                    expected[i] = self._costs["mean_s"][call.action - 1, i]
            done[i] = executive.done
            success[i] = executive.success
            if not executive.done and 0 <= self._shock_at[i] <= executive.summary.subgoal_index:
                left_s, left = executive.budget_left
                executive.budget_left = left_s * SHOCK_LEAVES, left * SHOCK_LEAVES
                self._shock_at[i] = -1
                shocked[i] = True
            self._look(i)

        self.history.record_act(acts, status == 0, finished, waited)
        self.history.record_think(called, call_ok, seconds, expected)
        self.alive &= ~done
        result = StepResult(status, seconds, tokens, call_ok, miss, shocked, done, success, exec_s)
        result.reward = success - self.cost_weight * (seconds + self._time_share * elapsed)

        return result

    def _think(self, i: int, action: Action, beside: bool) -> list[LlmCall]:
        """Asks; the call, where the robot stands for it."""
        sigma = self._jitter[i]
        stretch = self._scale[i]
        if sigma:
            stretch = stretch * np.exp(sigma * self._rng[i].standard_normal() - 0.5 * sigma * sigma)
        executive = self.executives[i]
        own = 1.0 if self.hosted else float(stretch)
        answer = self.answers.answer(int(self._row[i]), action, executive.plan, own)
        if self.hosted:
            calls = self.hosted[self._table[i]]
            answer = calls.cost(answer, action, int(self._seed[i]), int(self._asked[i]), float(stretch))
        self._asked[i] += 1
        if beside and isinstance(executive, BesideExecutive):
            executive.ask(action, answer)
            return []
        return [executive.take(action, answer)]
