from functools import partial

from rarrl_learning.attacks.corpus import CHANNELS, cases
from rarrl_learning.attacks.play import play
from rarrl_nodes.faults.campaign import outcome_of
from rarrl_nodes.faults.thinking import QUICK, _attacked, rows


def test_each_channel_is_a_row_with_all_its_attacks():
    found = rows()
    assert [row.name for row in found] == [f"S2-{channel.replace(' ', '-')}" for channel in CHANNELS]
    assert sum(row.trials for row in found) == len(cases())
    assert all(row.quick and row.quick_trials == QUICK for row in found)


def test_attacks_are_played_and_a_harm_counts():
    assert [trial.counts["attacks_through"] for trial in _attacked("topic", 3, seed=1)] == [0, 0, 0]
    bare = _attacked("topic", 3, seed=1, attack=partial(play, rules=False))
    assert [trial.counts["attacks_through"] for trial in bare] == [1, 1, 1] and all(trial.note for trial in bare)
    row = rows()[0]
    assert outcome_of(row, bare)["failed"] == ["attacks_through in 1 of the trials, allowed 0.025"]
