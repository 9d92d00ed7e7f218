import json

import pytest
from policy_fixtures import tiny_spec
from pydantic import ValidationError

from rarrl.errors import InputError
from rarrl.policy.base import check_policy
from rarrl.policy.preset import Preset, load_preset
from rarrl.policy.serve import MODELS, LlamaPolicy


def write(folder, text):
    (folder / "presets").mkdir()
    (folder / "presets" / "fast.json").write_text(text)


def test_a_preset_is_read(tmp_path):
    write(tmp_path, json.dumps({"preset": {"patches": 3, "layers": 1}, "command": "x"}))
    assert load_preset(tmp_path, "fast") == Preset(patches=3, layers=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not whole JSON"),
        ("[1]", "no preset"),
        ("{}", "no preset"),
        ('{"preset": {"patches": 0}}', "patches"),
        ('{"preset": {"layers": "many"}}', "layers"),
        ('{"preset": {"speed": 3}}', "speed"),
        ('{"preset": {"gguf": "../other.gguf"}}', "gguf"),
    ],
)
def test_damaged_presets_are_refused_in_one_line(tmp_path, text, words):
    write(tmp_path, text)
    with pytest.raises(InputError, match=words) as caught:
        load_preset(tmp_path, "fast")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_tells_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="rarrl tune policy"):
        load_preset(tmp_path, "fast")
    write(tmp_path, "{}")
    for name in ("quick", "../fast", ""):
        with pytest.raises(InputError, match="allowed: fast"):
            load_preset(tmp_path, name)


def test_more_than_the_policy_has_is_refused():
    spec = tiny_spec()
    Preset(patches=spec.image_tokens, layers=spec.layers).check(spec)
    for name, most in (("patches", spec.image_tokens), ("layers", spec.layers)):
        with pytest.raises(InputError, match=f"{name}: this policy has {most}"):
            Preset(**{name: most + 1}).check(spec)
    with pytest.raises(ValidationError):
        Preset(layers=0)


SHIPPED = sorted(
    (folder.stem.removeprefix("policy_"), path.stem)
    for folder in MODELS.glob("policy_*")
    for path in (folder / "presets").glob("*.json")
)


def test_presets_that_are_shipped():
    assert {("libero_object", "fast"), ("metaworld", "fast")} <= set(SHIPPED)


@pytest.mark.parametrize(("world", "name"), SHIPPED)
def test_a_shipped_preset_keeps_the_contract(world, name):
    pytest.importorskip("llama_cpp")
    folder = MODELS / f"policy_{world}"
    with LlamaPolicy(folder, preset=name) as policy, LlamaPolicy(folder) as whole:
        check_policy(policy)
        assert policy.preset.gguf in json.loads((folder / "card.json").read_text())["files"]
        assert policy.spec == whole.spec
