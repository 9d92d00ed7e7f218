"""The fastest that anybody could be: a player that knows all of the truth, for judging others by.

It searches (A*) over where the robot stands, what it holds, where the goal's things lie and what is open, with the
times and the lengths of the simulator itself. It plans as if no skill failed; where one does, it tries again."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from .missions import Goal, Mission
from .robot import DOORS, PLACES, ROOMS, SKILL_SECONDS, STEP_S, SUCCESS, PyrobosimRobot

Row = tuple[str, dict[str, str]]
"""A skill and its arguments."""
SPARE_BATTERY = 2.0
"""Percent that a plan never goes below: a drive may be a step longer than was reckoned."""
ROOM_OF = {**PLACES, **{room: room for room in ROOMS}, **dict.fromkeys(DOORS, "")}
"""Place -> the room in which one stands at it; at a door, one stands in none."""
GREED = 1.5
"""With four things to carry a full search takes minutes. What is left then counts this many times, so a plan may be
slower than the fastest by this factor; where 1.3 was tried, it found the same 150 s."""
DRIVE_EXTRA_S = STEP_S + 0.1
"""Seconds of every drive on top of its length: its first pose, and a pause that pyrobosim makes at its end."""


@dataclass(frozen=True)
class Played:
    """success: the goal was met within the horizon.  seconds: simulated.  skills: how many were run."""

    success: bool
    seconds: float
    skills: int


class _State(NamedTuple):
    row: int  # of the road map's poses; one past the last is where the robot stands now
    held: int  # index of a thing, -1 for none
    places: tuple[str, ...]  # of the goal's things, "" of the one that is held
    shut: frozenset[str]


def play(mission: Mission, robot: PyrobosimRobot | None = None) -> Played:
    """Carries out a mission, knowing everything."""
    robot = robot or mission.robot()
    rows, skills = fastest(robot, mission.goal), 0
    while rows and robot.seconds < mission.horizon_s:
        skill, arguments = rows[0]
        if skill == "pick" and (arguments["thing"], robot.where) not in robot.detections():
            skill, arguments = "detect", {}
        result = robot.run(skill, arguments)
        skills += 1
        if result.status == SUCCESS and skill == rows[0][0]:
            rows = rows[1:]
        elif result.status != SUCCESS and robot.setup.battery_use:
            rows = fastest(robot, mission.goal)

    return Played(mission.goal.met(robot.truth()) and robot.seconds <= mission.horizon_s, robot.seconds, skills)


def fastest(robot: PyrobosimRobot, goal: Goal) -> list[Row]:
    """The rows that meet the goal soonest from how the world is now; none where nothing is left to do, or can be."""
    return _Search(robot, goal).rows()


class _Search:
    def __init__(self, robot: PyrobosimRobot, goal: Goal) -> None:
        truth = robot.truth()
        self._map = robot.road_map
        self._spot = robot.pose[:2]
        self._xy = np.vstack([self._map.xy, self._spot])
        self._lengths: dict[frozenset[str], np.ndarray] = {}
        self._name_of = {row: name for name, rows in self._map.rows_of.items() for row in rows}
        self._name_of[len(self._map.xy)] = truth.where
        self._use = {skill: use / robot.setup.success.get(skill, 1.0) for skill, use in robot.setup.battery_use.items()}

        self._goal = goal
        to = {thing: end.place for end in goal.ends for thing in end.things}
        things = [(thing, place) for thing, place in truth.things if thing in to]
        self._classes = [thing for thing, _ in things]
        self._to = [to[thing] for thing, _ in things]
        places = tuple("" if place == "gripper" else place for _, place in things)
        self._stops = {*self._to, *places, *goal.shut} - {""}
        far = self._lengths_of(frozenset())
        self._far = [{place: float(row[self._map.rows_of[place]].min()) for place in self._stops} for row in far]
        self._between = {
            one: {to: min(self._far[row][to] for row in self._map.rows_of[one]) for to in self._stops}
            for one in self._stops
        }  # metres, were all doors open
        held = places.index("") if "" in places else -1
        self._start = _State(len(self._map.xy), held, places, truth.shut)
        self._battery = truth.battery

    def rows(self) -> list[Row]:
        """A*: the first state that meets the goal was reached soonest, as `_left_s` never says too much."""
        tie = count()
        greed = GREED if len(self._classes) > 3 else 1.0
        todo: list[tuple[float, int, float, float, _State, Any]] = []
        heappush(todo, (greed * self._left_s(self._start), next(tie), 0.0, self._battery, self._start, None))
        best_battery: dict[_State, float] = {}
        while todo:
            _, _, seconds, battery, state, before = heappop(todo)
            if battery <= best_battery.get(state, -1.0):
                continue  # it was here before, no later and with no less battery
            best_battery[state] = battery
            if self._met(state):
                return _unrolled(before)

            for place, hand, then in self._errands(state):
                rows, takes, left, row = self._reckoned(state, battery, place, hand)
                if left > SPARE_BATTERY and math.isfinite(takes):
                    then, at = then._replace(row=row), seconds + takes
                    heappush(todo, (at + greed * self._left_s(then), next(tie), at, left, then, (before, rows)))
        return []

    def _reckoned(
        self, state: _State, battery: float, place: str, hand: list[Row]
    ) -> tuple[list[Row], float, float, int]:
        """An errand with the drive to it: its rows, seconds, battery after it, and the row of the map where it ends."""
        rows, takes, row = hand, 0.0, state.row
        if place != self._name_of[row]:
            row = self._row_at(place, state)
            metres = float(self._lengths_of(state.shut)[state.row, row])
            if math.isinf(metres):
                return [], math.inf, battery, row
            rows, takes = [("navigate", {"place": place}), *hand], math.ceil(metres / STEP_S) * STEP_S + DRIVE_EXTRA_S
            battery -= metres * self._use.get("navigate", 0.0)
        if place == "charger" and battery > SPARE_BATTERY:
            battery = 100.0
        takes += sum(SKILL_SECONDS[skill] for skill, _ in hand)
        return rows, takes, battery - sum(self._use.get(skill, 0.0) for skill, _ in hand), row

    def _errands(self, state: _State) -> Iterator[tuple[str, list[Row], _State]]:
        """(place, what the hand does there, state after it) of all that could be of use."""
        if self._use:
            yield "charger", [], state
        if state.held >= 0:
            to = self._to[state.held]
            if to not in state.shut:
                yield (
                    to,
                    [("place", {"place": to})],
                    state._replace(held=-1, places=_with(state.places, state.held, to)),
                )
            return

        left = [thing for thing, place in enumerate(state.places) if place != self._to[thing]]
        for thing in left:
            place = state.places[thing]
            pick: Row = ("pick", {"thing": self._classes[thing]})
            first: list[Row] = [("open", {"place": place})] if place in state.shut else []
            places, shut = _with(state.places, thing, ""), state.shut - {place}
            yield place, [*first, pick], state._replace(held=thing, places=places, shut=shut)

        in_use = {self._to[thing] for thing in left} | {state.places[thing] for thing in left}
        for place in state.shut & ({self._to[thing] for thing in left} | set(DOORS)):
            yield place, [("open", {"place": place})], state._replace(shut=state.shut - {place})
        for place in set(self._goal.shut) - state.shut - in_use:
            yield place, [("close", {"place": place})], state._replace(shut=state.shut | {place})

    def _row_at(self, name: str, state: _State) -> int:
        """The pose to which pyrobosim drives: the nearest in a straight line; of a door, on a side it can reach."""
        rows = self._map.rows_of[name]
        if name in DOORS:
            room = self._name_of[state.row]
            open_to = {r for door, rooms in DOORS.items() if door not in state.shut for r in rooms}
            rows = [
                r for r, side in zip(rows, DOORS[name], strict=True) if side in open_to or side == ROOM_OF[room]
            ] or rows
        return min(rows, key=lambda row: float(np.linalg.norm(self._xy[row] - self._xy[state.row])))

    def _lengths_of(self, shut: frozenset[str]) -> np.ndarray:
        doors = shut & set(DOORS)
        if doors not in self._lengths:
            self._lengths[doors] = self._map.lengths(self._spot, doors)
        return self._lengths[doors]

    def _met(self, state: _State) -> bool:
        lies = list(zip(self._classes, state.places, strict=True))
        ends = (
            sum(thing in e.things and place == e.place for thing, place in lies) >= e.count for e in self._goal.ends
        )
        return all(ends) and state.shut >= set(self._goal.shut)

    def _left_s(self, state: _State) -> float:
        """Seconds that are left at least: what the hand has to do, each carry, and each drive to the next thing."""
        total = 0.0
        closing = {place for place in self._goal.shut if place not in state.shut}
        opening: set[str] = set()
        for end in self._goal.ends:
            mine = [i for i, thing in enumerate(self._classes) if thing in end.things]
            missing = [i for i in mine if state.places[i] != end.place]
            need = end.count - (len(mine) - len(missing))
            if need > 0:
                total += sum(sorted(self._carry_s(i, state) for i in missing)[:need])
            if need == len(missing):
                opening |= {place for place in (end.place, *(state.places[i] for i in missing)) if place in state.shut}

        closing |= opening & set(self._goal.shut)
        total += DRIVE_EXTRA_S * len(closing - set(self._to))  # one leaves it with a thing, and comes back to shut it
        return total + SKILL_SECONDS["open"] * len(opening) + SKILL_SECONDS["close"] * len(closing)

    def _carry_s(self, thing: int, state: _State) -> float:
        """Seconds to fetch a thing and place it, were all doors open; the gripper is full only with one at a time."""
        if state.held == thing:
            return self._far[state.row][self._to[thing]] + SKILL_SECONDS["place"]
        source, to = state.places[thing], self._to[thing]
        fetch = min(self._far[state.row][source], min(self._between[place][source] for place in set(self._to)))
        fetch += DRIVE_EXTRA_S if fetch > 0 else 0.0
        return fetch + SKILL_SECONDS["pick"] + self._between[source][to] + DRIVE_EXTRA_S + SKILL_SECONDS["place"]


def _with(places: tuple[str, ...], thing: int, place: str) -> tuple[str, ...]:
    return (*places[:thing], place, *places[thing + 1 :])


def _unrolled(last: Any) -> list[Row]:
    rows = []
    while last is not None:
        last, errand = last
        rows.append(errand)
    return [row for errand in reversed(rows) for row in errand]
