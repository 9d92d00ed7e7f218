"""The closed loop's bookkeeping: pairs of episodes, and the search for the smallest size."""

import pytest

pytest.importorskip("torch")

from rarrl.errors import InputError
from rarrl_learning.policy.evaluate import Episode
from rarrl_learning.quantize import closed_loop, policy_folder
from rarrl_sim_envs.suites import suite_named

SUITE = suite_named("metaworld")
WHOLE = ("policy_inputs", "policy_quantizer", "write_policy", "policy_bpw")
INPUTS = {
    "load_card": lambda folder: (None, {}),
    "load_demonstrations": lambda folders: None,
    "policy_inputs": lambda spec, data, frames, seed: None,
}


def episodes(successes):
    return [Episode("reach", i, "trained", bool(s), 50) for i, s in enumerate(successes)]


def test_kept_is_a_ratio_on_the_same_starts():
    figure = closed_loop.kept_share(episodes([1, 1, 1, 1, 0]), episodes([1, 1, 1, 0, 1]))
    assert figure.value == 1.0 and figure.n == 5 and figure.lo < 0.9 < figure.hi
    assert closed_loop.kept_share(episodes([1] * 4), episodes([1, 0, 0, 0])).value == 0.25


def test_many_equal_pairs_are_more_certain_than_few():
    few, many = (closed_loop.kept_share(episodes([1] * n), episodes([1] * n)) for n in (10, 200))
    assert few.lo < many.lo < 1.0 == many.value


def test_sizes_rise_until_enough_is_kept_and_unsolved_tasks_do_not_count(tmp_path, monkeypatch):
    """A made-up policy: solves `easy` always, `hard` never; quantized it needs 1.8 bits by ours, 2.6 by the others."""

    class Made:
        def __init__(self, folder):
            method, bpw = (folder / "what").read_text().split() if (folder / "what").exists() else ("", 99)
            self.solves = float(bpw) >= (1.8 if method in ("", closed_loop.OURS) else 2.6)
            self.spec = type("Spec", (), {"horizon": 8})

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def play(policy, suite, task, words, starts, rows):
        return [Episode(task, s, words, task == "easy" and policy.solves, 9) for s in starts]

    def write(path, folder, chosen, facts):
        path.mkdir()
        (path / "what").write_text(f"{facts['method']} {chosen}")

    for name, made in {
        "make_policy": Made,
        "play": play,
        **INPUTS,
        "policy_quantizer": lambda folder, used, method: lambda bpw: bpw,
        "write_policy": write,
        "byte_counts": lambda path: (12, 30) if path == tmp_path else (2, 6),
        "policy_bpw": lambda path: float((path / "what").read_text().split()[1]),
    }.items():
        monkeypatch.setattr(policy_folder if name in WHOLE else closed_loop, name, made)
    saved = []
    figures, tables = closed_loop.closed_loop(
        tmp_path, [tmp_path], SUITE, ["easy", "hard"], 20, 8, 0, lambda f, t: saved.append(dict(f))
    )
    assert tables["settings"]["tasks"] == ["easy"] and figures["success_f16"].n == 20
    assert figures["kept_3bpw"].value == figures["kept_2p5bpw"].value == 1
    assert (figures["memory_ratio_2p5"].value, figures["file_ratio_2p5"].value) == (6, 5)
    assert figures["min_bpw_kept_ours"].value == 1.85
    assert figures["min_bpw_kept_best_other"].value == 2.75
    assert [row["kept"] for row in tables["sizes"] if row["bpw"] < 1.8] == [0] * 8
    assert "kept_3bpw" in saved[0] and "min_bpw_kept_ours" not in saved[0]


def test_a_policy_that_solves_nothing_is_refused(tmp_path, monkeypatch):
    class Idle:
        spec = type("Spec", (), {"horizon": 8})

        def __init__(self, *_):
            pass

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

    monkeypatch.setattr(closed_loop, "make_policy", Idle)
    for name, made in INPUTS.items():
        monkeypatch.setattr(policy_folder if name in WHOLE else closed_loop, name, made)
    monkeypatch.setattr(closed_loop, "play", lambda p, suite, task, w, s, r: [Episode(task, i, w, False, 9) for i in s])
    with pytest.raises(InputError, match="solves none of easy"):
        closed_loop.closed_loop(tmp_path, [tmp_path], SUITE, ["easy"], 4, 8, 0, lambda *_: None)
