import pytest
from policy_fixtures import tiny_spec

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
