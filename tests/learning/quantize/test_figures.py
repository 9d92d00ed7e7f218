from rarrl_learning.quantize.figures import draw_curves, draw_types

PNG = b"\x89PNG"


def test_the_types_of_a_model_are_drawn(tmp_path):
    types = {f"blk.{layer}.{linear}.weight": "Q4_K" for layer in (0, 1) for linear in ("attn_q", "ffn_down")}
    draw_types(tmp_path / "types.png", types, "a model")
    assert (tmp_path / "types.png").read_bytes().startswith(PNG)


def test_the_curves_of_a_benchmark_are_drawn(tmp_path):
    row = {"type": "Q4_K", "bpw": 4.5, "plain": 0.3, "imatrix": 0.2, "fisher": 0.15, "compensated": 0.1}
    tables = {
        "curves": {"tuned": [{"bpw": 2.0, "error": 0.4}, {"bpw": 4.0, "error": 0.1}]},
        "uniform": [row],
        "round_to_nearest": [{"bits": 4, "error": 0.5}],
    }
    draw_curves(tmp_path / "curves.png", tables)
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)
