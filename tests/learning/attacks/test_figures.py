from rarrl_learning.attacks import figures
from rarrl_learning.attacks.corpus import cases
from rarrl_learning.attacks.play import play

FEW = [case for case in cases() if case.robot == "pyrobosim" and case.channel in ("label", "topic")]


def test_figures_of_a_few():
    found, tables = figures.bench_attacks(attacks=FEW)
    unchecked, checked = found["attack_success_unchecked"], found["attack_success_checked"]
    assert unchecked.n == checked.n == len(FEW)
    assert checked.value < unchecked.value == 1.0
    assert checked.lo <= checked.value <= checked.hi
    assert found["benign_success_checked"].value == found["benign_success_unchecked"].value == 1.0
    assert sum(row["n"] for row in tables["channels"].values()) == len(FEW)
    assert sum(tables["how"].values()) == len(FEW)
    assert len(tables["through"]) == sum(row["checked"] for row in tables["verbs"].values())


def test_the_benchmark_can_lose(monkeypatch):
    monkeypatch.setattr(figures, "play", lambda case, rules=True, person="careful": play(case, rules=False))
    found, tables = figures.bench_attacks(attacks=FEW[:4])
    assert found["attack_success_checked"].value == 1.0
    assert len(tables["through"]) == 4
