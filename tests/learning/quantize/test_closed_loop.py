"""The closed loop's bookkeeping: pairs of starts, cells that are played once, and what is read off them."""

import numpy as np
import pytest

pytest.importorskip("torch")

from rarrl.errors import InputError
from rarrl_learning.quantize import closed_loop, policy_folder
from rarrl_sim_envs.suites import suite_named

SUITE = suite_named("metaworld")
WHOLE = ("policy_inputs", "tuning_inputs", "policy_quantizer", "write_policy", "policy_bpw", "rounded_to_nearest")
NEEDS = {"tuned": 1.8, "aware": 1.8, "plain": 2.6, "rtn": 2.6}
"""Method -> bits per weight that the made-up policy needs by it."""


def bits(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text])


def test_kept_is_a_ratio_on_the_same_starts():
    figure = closed_loop.kept_share(bits("11110"), bits("11101"))
    assert figure.value == 1.0 and figure.n == 5 and figure.lo < 0.9 < figure.hi
    assert closed_loop.kept_share(bits("1111"), bits("1000")).value == 0.25


def test_many_equal_pairs_are_more_certain_than_few():
    few, many = (closed_loop.kept_share(bits("1" * n), bits("1" * n)) for n in (10, 200))
    assert few.lo < many.lo < 1.0 == many.value


def test_a_lead_is_a_difference_on_the_same_starts():
    figure = closed_loop.paired_difference(bits("1111"), bits("1100"))
    assert figure.value == 0.5 and figure.lo < 0.5 < figure.hi
    assert closed_loop.paired_difference(bits("10"), bits("01")).value == 0


@pytest.fixture
def made(monkeypatch, tmp_path):
    """A made-up policy that solves `easy` where its bits suffice, and `hard` never; what was asked of it is counted."""
    asked = []

    class Made:
        def __init__(self, folder):
            self.method, self.bpw = (folder / "what").read_text().split() if (folder / "what").exists() else ("", 99)
            self.solves = float(self.bpw) >= NEEDS.get(self.method, 0)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    class Arena:
        def __init__(self, suite):
            pass

        def play(self, policy, task, start, split):
            asked.append((policy.method, float(policy.bpw), task, start))
            return task == "easy" and policy.solves

        __enter__ = Made.__enter__
        __exit__ = Made.__exit__

    def write(path, folder, chosen, facts):
        path.mkdir(exist_ok=True)
        (path / "what").write_text(f"{facts['method']} {chosen}")

    for name, stand_in in {
        "make_policy": Made,
        "TrialRunner": Arena,
        "load_card": lambda folder: (None, {"model.gguf": "0f"}),
        "load_demonstrations": lambda folders: None,
        "policy_inputs": lambda spec, data, frames, seed: None,
        "tuning_inputs": lambda spec, data, seed: None,
        "policy_quantizer": lambda folder, used, method, more: lambda bpw: bpw,
        "write_policy": write,
        "rounded_to_nearest": lambda folder, bpw: (bpw, bpw + 0.1),
        "byte_counts": lambda path: (12, 30) if path == tmp_path else (2, 6),
        "policy_bpw": lambda path: float((path / "what").read_text().split()[1]),
    }.items():
        monkeypatch.setattr(policy_folder if name in WHOLE else closed_loop, name, stand_in)
    return asked


def play(folder, **changes):
    saved = []
    options = {
        "tasks": ["easy", "hard"],
        "episodes": 20,
        "frames": 8,
        "seed": 0,
        "save": lambda f, t: saved.append((dict(f), t)),
        "methods": ("tuned", "aware", "plain", "rtn"),
        "sizes": (3.0, 2.5, 2.0, 1.75),
        **changes,
    }
    return (*closed_loop.closed_loop(folder, [folder], SUITE, **options), saved)


def test_cells_are_played_on_the_tasks_that_are_solved_and_read_off(tmp_path, made):
    figures, tables, saved = play(tmp_path)
    assert tables["settings"]["tasks that count"] == ["easy"] and figures["success_f16"].n == 20
    assert [figures[f"kept_{size}bpw"].value for size in ("3", "2p5", "2")] == [1, 1, 1]
    assert (figures["memory_ratio_2p5"].value, figures["file_ratio_2p5"].value) == (6, 5)
    assert figures["lead_2bpw"].value == 1
    assert figures["min_bpw_kept_ours"].value == 2.0
    assert (figures["min_bpw_kept_plain"].value, figures["min_bpw_kept_rtn"].value) == (3.0, 3.1)
    whole_bits = [row for row in tables["sizes"] if row["method"] == "rtn"]
    assert [row["bpw"] for row in whole_bits] == [3.1, 2.1]  # textbook rounding has no 2.5
    assert {task for method, _, task, _ in made if method} == {"easy"}
    assert "kept_2bpw" not in saved[0][0]


def test_what_was_played_is_not_played_again(tmp_path, made):
    _, tables, _ = play(tmp_path, sizes=(3.0,), methods=("tuned",))
    made.clear()
    figures, _, _ = play(tmp_path, sizes=(3.0, 2.0), methods=("tuned",), earlier=tables)
    assert {bpw for _, bpw, _, _ in made} == {2.0} and figures["kept_3bpw"].n == 20

    made.clear()
    figures, _, _ = play(tmp_path, sizes=(3.0,), methods=("tuned",), earlier=tables, episodes=25)
    assert [start for *_, task, start in made if task == "easy"] == 2 * list(range(20, 25))
    assert figures["kept_3bpw"].n == 25


def test_a_file_of_something_else_is_not_gone_on_with(tmp_path, made):
    _, tables, _ = play(tmp_path, sizes=(3.0,), methods=("tuned",))
    with pytest.raises(InputError, match="another seed"):
        play(tmp_path, earlier=tables, seed=1)
    with pytest.raises(InputError, match="another"):
        play(tmp_path, earlier={"settings": tables["settings"]})


def test_a_policy_that_solves_nothing_is_refused(tmp_path, made):
    with pytest.raises(InputError, match="solves none of hard"):
        play(tmp_path, tasks=["hard"])
