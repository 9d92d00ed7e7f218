"""What `rarrl train planner` and `rarrl eval planner` do, on made-up plans."""

import json
from dataclasses import asdict

import pytest

from rarrl.alfred import is_development
from rarrl.errors import InputError
from rarrl.files import sha256
from rarrl.reasoner.base import Answer
from rarrl.reasoner.plan import Plan
from rarrl.types import CallStatus, Role
from rarrl_learning.reasoner import jobs

RIGHT = Plan.from_rows([["PickupObject", "mug"], ["PutObject", "mug", "desk"]])


@pytest.fixture
def alfred(made_up_plans, tmp_path):
    """A folder with the splits train and other."""
    lines = []
    for number in range(2):  # so many that some are development plans
        for plan in made_up_plans:
            parameters = asdict(plan.parameters)
            lines.append(
                json.dumps(
                    {
                        "task_type": plan.task_type,
                        "scene": plan.scene,
                        "trial": f"{plan.trial}_{number}",
                        "plan": [[s.name, *a] for s, a in zip(plan.subgoals, plan.arguments, strict=True)],
                        "low_steps": list(plan.low_steps),
                        "params": {
                            "object_target": parameters["object"],
                            "parent_target": parameters["place"],
                            "mrecep_target": "",
                            "toggle_target": "",
                            "object_sliced": False,
                        },
                        "annotations": [{"goal": a.goal, "steps": list(a.steps)} for a in plan.annotations],
                    }
                )
            )
    for split in ("train", "other"):
        (tmp_path / f"alfred_{split}.jsonl").write_text("\n".join(lines), "utf-8")
    return tmp_path


class Mug:
    """Whatever is asked: the mug to the desk."""

    name = "mug"

    def ask(self, request):
        plan = RIGHT if request.role is Role.PLANNER else None
        return Answer(request.decision, request.role, request.level, CallStatus.OK, 0.1, self.name, plan=plan)

    def close(self):
        pass


def test_eval_writes_figures_and_the_baselines(alfred, tmp_path):
    pytest.importorskip("sklearn")
    said = []
    command = "rarrl eval planner"
    jobs.eval_planner(Mug(), alfred, "other", 0, tmp_path / "f.json", command, lambda x, text: said.append(x))
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["command"] == command and told["tables"]["model"] == "mug"
    assert told["figures"]["plan_accuracy_level1"]["value"] == pytest.approx(1 / 32)
    assert told["figures"]["object_accuracy"]["value"] == pytest.approx(1 / 4)
    assert told["figures"]["tfidf_all_parameters_accuracy"]["value"] > 0.9
    assert said[-1] == 1.0


def test_eval_of_an_unknown_split_names_those_there_are(alfred):
    with pytest.raises(InputError, match="other, train"):
        jobs.eval_planner(Mug(), alfred, "valid_unseen", 0, None, "", lambda x, text: None)


def test_a_gpu_that_is_not_there_is_refused(alfred, tmp_path):
    for package in ("tokenizers", "gguf", "sklearn"):
        pytest.importorskip(package)
    if pytest.importorskip("torch").cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="--device: cuda is not there"):
        jobs.train_planner(alfred, 1, 0, tmp_path, "", lambda x, text: None, device="cuda")


@pytest.mark.slow
def test_train_writes_a_model_and_its_card(alfred, tmp_path):
    for package in ("torch", "tokenizers", "gguf", "sklearn"):
        pytest.importorskip(package)
    card = jobs.train_planner(alfred, 1, 0, tmp_path / "out", "rarrl train planner", lambda x, text: None)
    content = (tmp_path / "out" / jobs.MODEL).read_bytes()
    assert content.startswith(b"GGUF") and len(content) < 16e6
    assert card == json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["files"] == {jobs.MODEL: sha256(content)}
    assert 1e6 < card["parameters"] < 20e6


def test_some_made_up_plans_are_held_out(made_up_plans):
    from dataclasses import replace

    held = [is_development(replace(q, trial=f"{q.trial}_{n}")) for n in range(2) for q in made_up_plans]
    assert 0 < sum(held) < len(held)  # or the training test above trains on nothing
