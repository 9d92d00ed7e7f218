"""The table of many missions: paired differences by hand, what it says in a sentence, and that it is kept."""

import json

import pytest
from mission_fixtures import result

from rarrl_learning.household.report.mission_table import (
    HEAD,
    Block,
    figures_of,
    from_json,
    paired_interval,
    points,
    tables_of,
    to_json,
)


def block(thinker="the shipped model", n=20, **done):
    """done: policy -> the numbers of the missions that it did."""
    values = {"never": {"llm_s": 0.0, "tokens": 0.0, "calls": 0}, "learned": {"llm_s": 0.5}}
    played = {
        name: [result(name, seed, seed in own, **values.get(name, {})) for seed in range(n)]
        for name, own in done.items()
    }
    return Block.of(thinker, 0.02, played)


TABLE = block(never=range(5), always=range(18), learned=range(1, 20))


def test_rows_by_hand():
    never, always, learned = TABLE.rows()
    assert [(r.policy, r.done, r.n) for r in TABLE.rows()] == [
        ("never", 5, 20),
        ("always", 18, 20),
        ("learned", 19, 20),
    ]
    assert learned.low < 0.95 < learned.high and learned.llm_s == 0.5 and never.calls == 0
    assert set(never.gains) == {"always"} and set(learned.gains) == {"never", "always"}
    assert learned.gains["never"].value == 70 and learned.gains["always"].value == 5
    cells = dict(zip(HEAD, learned.cells(), strict=True))
    assert cells["done"] == "19 of 20" and cells["more than always"].startswith("+5 [")
    assert dict(zip(HEAD, always.cells(), strict=True))["more than always"] == ""


def test_differences_are_taken_mission_by_mission():
    """The same shares: with the same missions done the difference is known better than with others done."""
    same, other = (block(always=range(10), learned=done) for done in (range(10), range(10, 20)))
    (narrow, wide) = (b.gain("learned", "always") for b in (same, other))
    assert narrow.value == wide.value == 0
    assert wide.hi - wide.lo > 3 * (narrow.hi - narrow.lo) > 0


def test_the_interval_holds_the_truth_nineteen_times_of_twenty():
    numpy = pytest.importorskip("numpy")
    rng = numpy.random.default_rng(0)
    held = 0
    for _ in range(1000):
        won, lost, _ = rng.multinomial(100, (0.12, 0.05, 0.83))
        low, high = paired_interval(int(won), int(lost), 100)
        held += low <= 0.07 <= high
    assert 930 <= held <= 975
    assert paired_interval(2, 0, 2)[1] == 1.0


@pytest.mark.parametrize(
    ("always", "learned", "says"),
    [
        (range(4), range(20), "learned is better, by more than chance"),
        (range(20), range(4), "always is better, by more than chance"),
        (range(18), range(19), "no difference that 20 missions can show"),
    ],
)
def test_what_the_table_says(always, learned, says):
    sentence = block(never=range(2), always=always, learned=learned).meaning()
    assert says in sentence and f"{len(learned)} of 20 missions against {len(always)} by always" in sentence
    assert "thinks 75 % less" in sentence and "a mission takes 0.0 [0.0, 0.0] s more" in sentence


def test_what_thinks_beside_acting_is_held_against_what_stands():
    played = {"never": 30.0, "always": 60.0, "learned": 50.0, "learned beside": 40.0}
    results = {
        name: [result(name, seed, seed > 2, mission_s=seconds + 2 * (seed % 2)) for seed in range(20)]
        for name, seconds in played.items()
    }
    sentence = Block.of("a hosted 70B model", 2.0, results).meaning()
    assert "learned beside does 17 of 20 missions against 17 by" in sentence
    assert (
        "Against learned, which does 17, that is 0 [-9, +9] points, and a mission takes 10.0 [10.0, 10.0] s less."
        in (sentence)
    )


def test_one_policy_alone_is_compared_with_nothing():
    assert "nothing can be compared" in block(learned=range(3)).meaning()


def test_of_an_interrupted_run_the_missions_count_that_all_have_played():
    played = {"never": [result("never", s) for s in (3, 1, 2)], "learned": [result("learned", s) for s in (2, 3)]}
    found = Block.of("x", 1.0, played)
    assert found.seeds == (2, 3) and [r.seed for r in found.results["learned"]] == [2, 3]
    assert Block.of("x", 1.0, {"never": [], "learned": [result("learned", 1)]}).n == 0


def test_it_is_kept():
    stored = json.loads(json.dumps(to_json([TABLE])))
    (again,) = from_json(stored)
    assert again.rows() == TABLE.rows() and again.title == TABLE.title
    with pytest.raises(KeyError):
        from_json([{}])


def test_the_results_document():
    figures = figures_of([TABLE])
    success = figures["success_learned_the_shipped_model"]
    assert (success.value, success.n) == (0.95, 20)
    assert figures["gain_over_always_learned_the_shipped_model"].value == 5
    table = json.loads(json.dumps(tables_of([TABLE])))["the shipped model"]
    assert table["missions"] == [0, 19] and [row["done"] for row in table["rows"]] == [5, 18, 19]
    assert points(figures["gain_over_always_learned_the_shipped_model"]) in table["meaning"]
