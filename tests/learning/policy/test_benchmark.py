import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.policy.base import Observation
from rarrl.policy.preset import Preset
from rarrl_learning.policy.benchmark import memory, paired, switches


def test_every_part_is_also_left_out_alone():
    found = switches(Preset(patches=4, gguf="student.gguf"), 3)
    parts = ["patches=4", "gguf=student.gguf", "layers=1", "layers=2"]
    assert list(found) == ["whole", *(f"only {part}" for part in parts), "tuned"]
    assert found["only layers=2"] == Preset(layers=2)
    assert list(switches(Preset(patches=4, layers=1), 2)) == ["whole", "only patches=4", "only layers=1", "tuned"]
    assert list(switches(Preset(layers=1), 2)) == ["whole", "tuned"]


def test_success_that_is_kept():
    trials = {"whole": {"a": [True] * 4, "b": [True, False] * 2}, "tuned": {"a": [True] * 4, "b": [False] * 4}}
    figures = paired(trials)
    assert figures["success_whole"].value == 0.75
    assert figures["success_tuned"].value == 0.5
    assert figures["kept_tuned"].value == pytest.approx(2 / 3)
    assert figures["kept_tuned"].lo < 2 / 3 < figures["kept_tuned"].hi
    assert figures["kept_tuned"].n == 8


def test_equal_settings_keep_all_with_certainty_since_starts_are_paired():
    trials = {name: {"a": [True, False, True], "b": [False, True, True]} for name in ("whole", "tuned")}
    kept = paired(trials)["kept_tuned"]
    assert (kept.lo, kept.value, kept.hi) == (1, 1, 1)
    assert set(paired(trials, "swapped")) == {"success_swapped_whole", "success_swapped_tuned"}


def test_memory_of_weights(tmp_path):
    torch = pytest.importorskip("torch")
    from rarrl_learning.policy.export import export_policy
    from rarrl_learning.policy.model import PolicyModel

    torch.manual_seed(0)
    model = PolicyModel(tiny_spec())
    export_policy(model, tmp_path, {})
    found = memory(tmp_path)
    linears = sum(linear.weight.numel() for linear in model.llama.linears().values())
    assert found["transformer_f16"].value - found["transformer_2.5_bpw"].value == pytest.approx(13.5 * linears / 8e6)
    assert 0 < found["transformer_2.5_bpw"].value < found["transformer_3_bpw"].value < found["weights_f16"].value


def test_torch_that_is_frozen_computes_the_same(tmp_path):
    torch = pytest.importorskip("torch")
    from rarrl_learning.policy.benchmark import TORCH, _torch_policies
    from rarrl_learning.policy.export import export_policy
    from rarrl_learning.policy.model import PolicyModel

    torch.manual_seed(0)
    export_policy(PolicyModel(tiny_spec()), tmp_path, {}, half=False)
    rng = np.random.default_rng(0)
    seen = [
        Observation(rng.integers(0, 256, (1, 32, 32, 3), np.uint8), rng.normal(size=2).astype(np.float32), words)
        for words in ("go left", "go up now")
    ]
    policies = _torch_policies(tmp_path, seen[0])
    frozen = policies.pop(TORCH)
    (trained,) = policies.values()
    answers = [frozen(observation) for observation in seen]
    assert not np.allclose(*answers, atol=1e-5)
    for answer, observation in zip(answers, seen, strict=True):
        assert np.allclose(answer, trained(observation), atol=1e-6)


def test_a_preset_of_one_block_is_also_timed_in_llama_cpp(tmp_path):
    pytest.importorskip("llama_cpp")
    torch = pytest.importorskip("torch")
    from rarrl_learning.policy.benchmark import IN_LLAMA, bench_speed
    from rarrl_learning.policy.export import export_policy
    from rarrl_learning.policy.model import PolicyModel

    torch.manual_seed(0)
    export_policy(PolicyModel(tiny_spec()), tmp_path, {}, half=False)
    rng = np.random.default_rng(0)
    film = [
        Observation(rng.integers(0, 256, (1, 32, 32, 3), np.uint8), np.zeros(2, np.float32), "go left")
        for _ in range(3)
    ]
    figures, tables = bench_speed(tmp_path, Preset(layers=1), [film], rounds=2)
    rows = {row["setting"]: row["computes"] for row in tables["speed"]}
    assert rows["tuned"] == rows[IN_LLAMA] == "layers=1"
    over = {name: figures[f"speedup_over_{name}"].value for name in ("llama_f16", "torch_f32")}
    assert figures["speedup_tuned"].value == min(over.values()) > 0
    _, tables = bench_speed(tmp_path, Preset(layers=2), [film], rounds=2)
    assert IN_LLAMA not in {row["setting"] for row in tables["speed"]}
