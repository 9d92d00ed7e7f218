from dataclasses import replace

import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.errors import InputError
from rarrl.llama.gguf import write_llama
from rarrl.policy.preset import Preset, load_preset
from rarrl_learning.policy.tune import Trial, candidates, cpu_ms, tune, write_preset

PRESETS = [Preset(), Preset(layers=1), Preset(patches=2), Preset(patches=1, layers=1)]
MS = [4.0, 3.0, 2.0, 1.0]
TRIALS = [Trial("task", start, words) for start in range(100) for words in ("trained", "swapped")]


def policy(solves: dict[Preset, int], misreads: dict[Preset, int] | None = None):
    """Each preset solves its first so many starts; with swapped words it does the task at so many starts."""

    def play(preset: Preset, trial: Trial) -> bool:
        asked.append((preset, trial))
        return trial.start < (solves if trial.words == "trained" else misreads or {}).get(preset, 0)

    asked: list[tuple[Preset, Trial]] = []
    play.asked = asked
    return play


def test_the_quickest_setting_that_keeps_the_success_is_chosen():
    play = policy({PRESETS[0]: 90, PRESETS[1]: 90, PRESETS[2]: 88, PRESETS[3]: 87})
    tried = tune(PRESETS, MS, TRIALS, play)
    assert tried[-1].preset == PRESETS[2]
    assert (tried[-1].chosen, tried[-1].solved, tried[-1].played) == (True, 88, 200)
    assert [t.preset for t in tried] == [PRESETS[0], PRESETS[3], PRESETS[2]]
    assert not tried[1].chosen


def test_a_hopeless_setting_is_given_up_early():
    play = policy({PRESETS[0]: 100, PRESETS[2]: 100})
    tried = tune(PRESETS, MS, TRIALS, play)
    assert tried[1].preset == PRESETS[3]
    assert tried[1].played < 10
    assert tried[1].solved == 0


def test_a_setting_that_does_not_read_is_not_chosen():
    solves = dict.fromkeys(PRESETS, 100)
    assert tune(PRESETS, MS, TRIALS, policy(solves, {PRESETS[3]: 6}))[-1].preset == PRESETS[2]
    assert tune(PRESETS, MS, TRIALS, policy(solves, {PRESETS[3]: 5}))[-1].preset == PRESETS[3]
    # Nobody need read better than the whole policy does.
    assert tune(PRESETS, MS, TRIALS, policy(solves, {PRESETS[0]: 9, PRESETS[3]: 9}))[-1].preset == PRESETS[3]


def test_nothing_is_left_out_where_nothing_keeps_the_success():
    tried = tune(PRESETS, MS, TRIALS, policy({PRESETS[0]: 100}))
    assert [t.preset for t in tried] == [PRESETS[0]]


def test_with_a_target_the_slowest_that_fits_comes_first():
    play = policy(dict.fromkeys(PRESETS, 100))
    assert tune(PRESETS, MS, TRIALS, play, target_ms=3.5)[-1].preset == PRESETS[1]
    with pytest.raises(InputError, match=r"quickest setting takes 1\.00 ms"):
        tune(PRESETS, MS, TRIALS, play, target_ms=0.5)
    with pytest.raises(InputError, match="no setting within"):
        tune(PRESETS, MS, TRIALS, policy({PRESETS[0]: 100}), target_ms=3.5)


def test_a_policy_that_can_do_nothing_is_not_tuned():
    with pytest.raises(InputError, match="solved none"):
        tune(PRESETS, MS, TRIALS, policy({}))


def test_patches_are_only_dropped_with_a_scorer(tmp_path):
    spec = tiny_spec(image_size=128)
    assert {p.patches for p in candidates(tmp_path, spec)} == {None}
    (tmp_path / "relevance.safetensors").touch()
    found = candidates(tmp_path, spec)
    assert {p.patches for p in found} == {None, 4, 6, 8, 12, 16, 24}
    assert len(found) == len(set(found))
    assert Preset() not in found


def test_other_transformers_are_tried_in_all_their_depths(tmp_path):
    spec = tiny_spec()
    assert spec.layers == 2
    for name, layers in (("small", 2), ("student", 1)):
        shape = replace(spec.llama, layers=layers)
        weights = {n: np.zeros(s, np.float32) for n, s in shape.tensors().items()}
        write_llama(tmp_path / f"{name}.gguf", shape, weights)
    found = candidates(tmp_path, spec, ["small.gguf", "student.gguf"])
    assert {(p.gguf, p.layers) for p in found} == {
        (None, 1),
        ("small.gguf", None),
        ("small.gguf", 1),
        ("student.gguf", None),
    }
    with pytest.raises(InputError, match=r"none\.gguf"):
        candidates(tmp_path, spec, ["none.gguf"])


def test_what_was_chosen_is_written(tmp_path):
    tried = tune(PRESETS, MS, TRIALS, policy(dict.fromkeys(PRESETS, 100)))
    write_preset(tmp_path, "fast", tried, "rarrl tune policy")
    assert load_preset(tmp_path, "fast") == tried[-1].preset


def test_timing_tells_the_slow_from_the_quick():
    def work(n):
        return lambda _: sum(i * i for i in range(n))

    found = cpu_ms({"quick": work(100), "slow": work(20_000)}, [[0, 1, 2]] * 2, rounds=3)
    assert found["slow"].shape == (3,)
    assert np.median(found["slow"]) > np.median(found["quick"]) > 0
