from concurrent.futures import CancelledError
from dataclasses import dataclass
from enum import Enum

import pytest
from pydantic import ValidationError

from rarrl.errors import InputError
from rarrl.skills.outcome import READY_MADE, Outcome, OutcomeMap, SkillResult, flat_fields, result_of, result_of_error

S, F, R, U = Outcome.SUCCESS, Outcome.FAILED, Outcome.REFUSED, Outcome.UNPLANNABLE
C, T, N = Outcome.CANCELLED, Outcome.TIMEOUT, Outcome.UNAVAILABLE
CODES = [
    ("goal_status", {"SUCCEEDED": S, "succeeded": S, "ABORTED": F, "CANCELED": C, "UNKNOWN": F, True: S, False: F}),
    ("trigger", {True: S, False: F}),
    ("nav2", {0: S, 1: N, 2: N, 9000: F, 9001: R, 9002: F, 9003: F, 9100: F, 9101: R, 9102: F, 9103: F}),
    ("nav2", {100: F, 101: R, 102: F, 103: R, 104: F, 105: F, 106: F, 107: F, 108: F}),
    ("nav2", {200: F, 201: R, 202: F, 203: U, 204: U, 205: U, 206: U, 207: F, 208: U}),
    ("nav2", {300: F, 301: R, 302: F, 303: U, 304: U, 305: U, 306: U, 307: F, 308: U, 309: R}),
    ("nav2", {400: F, 401: F, 402: R, 403: U, 404: F, 405: U, 406: F, 407: R}),
    ("nav2", {500: F, 501: R, 502: F, 503: F, 504: F, 505: R, 600: F, 601: F, 602: R, 603: F}),
    ("nav2", {700: F, 701: F, 702: F, 703: F, 710: F, 711: F, 712: F, 713: R, 714: F}),
    ("nav2", {720: F, 721: F, 722: F, 723: F, 724: R, 730: F, 731: F, 732: F, 740: F, 741: F}),
    ("nav2", {901: R, 902: R, 903: F, 904: F, 905: F, 906: F, 907: F, 999: F}),
    ("nav2_follow_object", {0: S, 1: N, 2: N, 901: F, 902: F, 903: F, 904: F, 999: F}),
    ("moveit", {1: S, 0: F, 99999: F, -1: U, -2: U, -3: F, -4: F, -5: F, -6: F, -7: C, -10: U, -11: U, -26: U}),
    ("moveit", {-12: U, -13: U, -14: U, -27: U, -28: R, -15: R, -16: R, -17: R, -18: R, -19: R, -21: F, -22: N}),
    ("moveit", {-23: F, -24: F, -25: N, -29: N, -30: F, -31: U}),
    ("follow_joint_trajectory", {0: S, -1: R, -2: R, -3: R, -4: F, -5: F, -6: F}),
    ("gripper_close", {True: S, False: F}),
    ("gripper_open", {True: S, False: F}),
    ("openral", {"": S, "cancelled": C, "safety_estop:latched": N, "ROSConfigError: no weights": R}),
    ("openral", {"ROSCapabilityMismatch: one arm": R, "ROSPlanningError: no path": U, "ROSInferenceTimeout: 2 s": F}),
    ("dimos", {"": S, "INVALID_STATE": R, "OBJECT_NOT_DETECTED": R, "IK_FAILED": U, "PLANNING_FAILED": U}),
    ("dimos", {"EXECUTION_TIMEOUT": T, "EXECUTION_FAILED": F, "GRASP_ATTEMPTS_EXHAUSTED": F, "GRIPPER_FAILED": F}),
    ("dimos", {"PLANNING_FAILED: no path": U, "WORLD_MONITOR_UNAVAILABLE": N}),
    ("pyrobosim", {0: S, 1: R, 2: U, 3: F, 4: F, 5: R, 6: C}),
]


@pytest.mark.parametrize(("table", "expected"), CODES)
def test_codes_of_well_known_systems(table, expected):
    assert {code: OutcomeMap(like=table).read(code) for code in expected} == expected


def test_each_ready_made_table_is_tested_and_named_where_one_chooses_it():
    named = OutcomeMap.model_fields["like"].description
    assert {table for table, _ in CODES} == set(READY_MADE)
    assert all(table in named for table in READY_MADE)


def test_own_codes_come_before_those_of_the_table():
    table = OutcomeMap(like="nav2", unplannable=(105,), field="result.code")
    assert table.read(105) is U
    assert table.read(208) is U
    assert table.resolved.field == "result.code"


def test_text_that_means_lost():
    assert OutcomeMap(like="pyrobosim").read(3, "Battery depleted while executing") is Outcome.LOST
    assert OutcomeMap(like="pyrobosim").read(0, "Battery depleted") is S


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"like": "nav3"}, "did you mean 'nav2'"),
        ({"success": (0,), "failed": (0,)}, "code 0 stands in success and in failed"),
        ({"lost_why": ("(",)}, "is no regular expression"),
    ],
)
def test_bad_maps_are_refused(fields, message):
    with pytest.raises(ValidationError, match="(?s)" + message.replace("(", r"\(")):
        OutcomeMap(**fields)


class Status(Enum):
    SUCCESS = 0
    PRECONDITION_FAILURE = 1


@dataclass(frozen=True)
class Answer:
    status: Status
    message: str


NUMBERS = OutcomeMap(field="status", why="message", success=(0,), refused=(1,))


@pytest.mark.parametrize(
    ("returned", "table", "outcome", "why"),
    [
        (None, OutcomeMap(), S, ""),
        (None, NUMBERS, F, "it returned nothing, and status was expected"),
        (True, OutcomeMap(), S, ""),
        (False, OutcomeMap(), F, ""),
        (True, NUMBERS, S, ""),
        (1, NUMBERS, R, ""),
        ((1, "the hand is full"), NUMBERS, R, "the hand is full"),
        ((True, None), OutcomeMap(), S, ""),
        (U, NUMBERS, U, ""),
        (Status.PRECONDITION_FAILURE, NUMBERS, R, ""),
        (Status.SUCCESS, OutcomeMap(success=("SUCCESS",)), S, ""),
        ({"status": 1, "message": "shut\nagain"}, NUMBERS, R, "shut again"),
        ({"success": True, "message": "ok"}, OutcomeMap(), S, "ok"),
        ({"done": True}, NUMBERS, F, "the result has no field status (it has done)"),
        ({"success": True, "error_code": None, "message": ""}, OutcomeMap(like="dimos"), S, ""),
        ({"success": False, "error_code": "IK_FAILED", "message": "no"}, OutcomeMap(like="dimos"), U, "no"),
        (Answer(Status.PRECONDITION_FAILURE, "shut"), NUMBERS, R, "shut"),
        (object(), OutcomeMap(), F, None),
        (2.5, NUMBERS, F, "2.5 is no code (allowed: a number, a text, True or False)"),
    ],
)
def test_what_a_callable_may_return(returned, table, outcome, why):
    result = result_of(returned, table, 2.0)
    assert (result.outcome, result.seconds) == (outcome, 2.0)
    assert why is None or result.why == why


def test_a_result_stays_as_it_is():
    result = SkillResult(Outcome.LOST, "fell down the stairs", 3.0)
    assert result_of(result, NUMBERS) is result


@pytest.mark.parametrize(
    ("error", "outcome", "why"),
    [
        (InputError("place: moon is unknown"), R, "place: moon is unknown"),
        (ConnectionRefusedError("port 9090"), N, "ConnectionRefusedError: port 9090"),
        (ModuleNotFoundError("no arm"), N, "ModuleNotFoundError: no arm"),
        (CancelledError(), C, "CancelledError"),
        (TimeoutError("2 s"), F, "TimeoutError: 2 s"),
        (ValueError("a\nb"), F, "ValueError: a b"),
    ],
)
def test_what_an_exception_means(error, outcome, why):
    result = result_of_error(error, 1.0)
    assert (result.outcome, result.why, result.seconds) == (outcome, why, 1.0)


def test_fields_are_flat_and_bounded():
    nested = {"a": {"b": 1, "c": [1, 2], "d": {"e": "x"}}, "status": Status.SUCCESS, "none": None}
    assert flat_fields(nested) == {"a.b": 1, "a.c": [1, 2], "a.d.e": "x", "status": 0, "none": None}
    assert len(flat_fields({str(i): i for i in range(10_000)})) == 200
    assert len(flat_fields({"seen": list(range(10_000))})["seen"]) == 200
    cycle = {}
    cycle["self"] = cycle
    assert flat_fields(cycle) == {}
