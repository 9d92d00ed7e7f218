"""Training, export and llama.cpp together, on a tiny model and made-up plans."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")
llama_cpp = pytest.importorskip("llama_cpp")

from rarrl.errors import InputError  # noqa: E402
from rarrl.reasoner import prompt as p  # noqa: E402
from rarrl_learning.reasoner.curriculum import ExampleSampler, annotated_plans  # noqa: E402
from rarrl_learning.reasoner.export import export_gguf  # noqa: E402
from rarrl_learning.reasoner.train import (  # noqa: E402
    Encoder,
    PlannerModel,
    Shape,
    TrainConfig,
    batch_loss,
    fit_planner,
    load_averaged,
)

TINY = Shape(width=64, layers=2, heads=2, ffn=128)
CONFIG = TrainConfig(steps=60, batch_tokens=1024, warmup=5, lr=4e-3, ema=0.9)


@pytest.fixture(scope="module")
def trained(made_up_plans, tmp_path_factory):
    """(what came of it, its folder, the model in llama.cpp)."""
    folder = tmp_path_factory.mktemp("planner")
    training_set = annotated_plans(made_up_plans)
    result = fit_planner(training_set, training_set, CONFIG, folder, shape=TINY, checkpoint_every=32)
    export_gguf(folder / "planner.gguf", result.shape, result.tokenizer, result.weights)
    model = llama_cpp.Llama(
        str(folder / "planner.gguf"), n_ctx=512, n_threads=1, logits_all=True, verbose=False, seed=0
    )
    return result, folder, model


def ids(model, text):
    return model.tokenize(text.encode(), add_bos=False, special=True)


def test_llama_cpp_tokenizes_as_in_training(trained, made_up_plans):
    result, _, model = trained
    sampler = ExampleSampler(annotated_plans(made_up_plans), 7)
    texts = [e.prompt + e.answer for e in (sampler.draw() for _ in range(200))]
    texts += [p.prompt(p.PLAN, goal) for goal in ("Put the Café's ½ mug on №7, s'il vous plaît!", "日本 😀 \n\t mug")]
    texts += ["ünknown 日本  x\n😀 naïve"]  # not cleaned
    for text in texts:
        assert ids(model, text) == result.tokenizer.encode(text, add_special_tokens=False).ids


def test_frequent_pieces_are_single_tokens(trained):
    _, _, model = trained
    assert all(len(ids(model, piece)) == 1 for piece in (*p.json_pieces(), *p.MARKS))


def test_llama_cpp_computes_what_was_trained(trained, made_up_plans):
    result, _, model = trained
    reference = PlannerModel(result.shape)
    reference.load_state_dict({name: torch.from_numpy(weight) for name, weight in result.weights.items()})
    reference.eval()
    text = p.prompt(p.PLAN, made_up_plans[0].goal)
    tokens = ids(model, text)
    model.reset()
    model.eval(tokens)
    with torch.no_grad():
        ours = reference.logits(reference.hidden(torch.tensor([tokens])))[0].numpy()
    theirs = np.array(model.scores[: len(tokens)])
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999  # Q8_0 and float16 memory
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.9


@pytest.mark.slow
def test_it_can_learn(made_up_plans, tmp_path):
    training_set = annotated_plans(made_up_plans)
    config = replace(CONFIG, steps=240, dropout=0.0)
    result = fit_planner(training_set, training_set, config, tmp_path, shape=TINY, checkpoint_every=1000)
    assert result.figures["development_plan"] > 0.15  # chance: one in 32


@pytest.mark.slow
def test_interrupted_training_ends_where_uninterrupted_does(trained, made_up_plans, tmp_path):
    result, _, _ = trained
    training_set = annotated_plans(made_up_plans)

    class InterruptError(Exception):
        pass

    def stop(step, figures):
        if step >= 40:
            raise InterruptError

    with pytest.raises(InterruptError):
        fit_planner(training_set, training_set, CONFIG, tmp_path, stop, TINY, checkpoint_every=32)
    assert 0 < json.loads((tmp_path / "checkpoint.json").read_text())["step"] < 60
    again = fit_planner(training_set, training_set, CONFIG, tmp_path, shape=TINY, checkpoint_every=32)
    for name, weight in result.weights.items():
        np.testing.assert_array_equal(weight, again.weights[name], err_msg=name)


def test_checkpoint_of_another_configuration_is_refused(trained, made_up_plans):
    _, folder, _ = trained
    training_set = annotated_plans(made_up_plans)
    with pytest.raises(InputError, match="another configuration"):
        fit_planner(training_set, training_set, replace(CONFIG, lr=1.0), folder, shape=TINY)


def test_greedy_hit_is_every_token_right(made_up_plans, trained):
    result, _, _ = trained
    encoder = Encoder(result.tokenizer, CONFIG)
    sampler = ExampleSampler(annotated_plans(made_up_plans), 0)
    (batch,) = encoder.batches(encoder.encode([sampler.draw("plan", noisy=False) for _ in range(4)]), 10_000)
    model = PlannerModel(result.shape)
    with torch.no_grad():
        logits = model.logits(model.hidden(batch.ids))
        for i, row in enumerate(batch.ids):
            answers = batch.columns[batch.rows == i]
            likeliest = logits[i, answers - 1].argmax(-1)
            assert bool(batch_loss(model, batch)[1][i]) == bool((likeliest == row[answers]).all())


def test_the_averaged_weights_of_a_run_are_read_again(trained, monkeypatch):
    result, folder, _ = trained
    monkeypatch.setattr("rarrl_learning.reasoner.train.Shape", lambda: TINY)
    model, tokenizer = load_averaged(folder)
    assert tokenizer.get_vocab() == result.tokenizer.get_vocab()
    for name, weight in model.named_parameters():
        np.testing.assert_array_equal(weight.detach().numpy(), result.weights[name], err_msg=name)
