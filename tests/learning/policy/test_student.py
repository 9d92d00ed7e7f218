"""Distillation: what the student keeps of its teacher, what it may learn, and from what."""

import numpy as np
import pytest
from policy_fixtures import tiny_spec

from rarrl.errors import InputError
from rarrl.policy.relevance import Relevance, relevance_shapes
from rarrl_learning.policy.demonstrations import load_demonstrations

torch = pytest.importorskip("torch")

from rarrl_learning.policy.model import PolicyModel  # noqa: E402
from rarrl_learning.policy.student import SHARES, distillation_set, fit_student, student_of, student_settings  # noqa: E402
from rarrl_learning.policy.train import Batches, make_spec  # noqa: E402


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    return PolicyModel(tiny_spec()).eval()


def test_a_student_is_the_teacher_with_its_first_blocks_and_only_they_learn(teacher):
    student = student_of(teacher, 1)
    assert student.spec.layers == 1 and len(student.llama.blk) == 1
    known = teacher.state_dict()
    assert all(torch.equal(value, known[name]) for name, value in student.state_dict().items())
    learning = {name for name, parameter in student.named_parameters() if parameter.requires_grad}
    assert learning and all(name.startswith("llama.") for name in learning)


@pytest.mark.parametrize("blocks", [0, 2, 3])
def test_it_must_have_fewer_blocks(teacher, blocks):
    with pytest.raises(InputError, match="blocks"):
        student_of(teacher, blocks)


def test_patches_are_shares_of_the_policys(teacher):
    settings = student_settings(teacher, 10, {})
    assert settings.patches == tuple(max(1, round(share * teacher.spec.image_tokens)) for share in SHARES)


def test_targets_are_the_teachers_actions_and_training_is_repeatable(recorded):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = load_demonstrations([recorded])
    teacher = PolicyModel(make_spec(data, horizon=4, layers=2, ffn=256)).eval()
    rng = np.random.default_rng(0)
    shapes = relevance_shapes(teacher.spec)
    relevance = Relevance(teacher.spec, {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()})
    settings = student_settings(teacher, 8, {})

    batch = Batches(data, teacher.spec, settings, 0).draw(0)
    targets = distillation_set(teacher, relevance, [batch])
    with torch.no_grad():
        expected = teacher(*batch[:3])[0]
    torch.testing.assert_close(torch.from_numpy(targets.actions), expected)

    found = [fit_student(teacher, relevance, data, settings, 1, 64) for _ in range(2)]
    (first, losses), (second, again) = found
    assert losses == again
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
