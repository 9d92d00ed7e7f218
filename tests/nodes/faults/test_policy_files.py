"""Each damage damages, and is in one row."""

import json
import shutil

import pytest

from rarrl.files import sha256
from rarrl.policy.registry import SHIPPED
from rarrl_nodes.faults import policy_files


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", policy_files.DAMAGES)
def test_each_damage_changes_a_file(name, tmp_path):
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED, folder)
    policy_files.DAMAGES[name](folder)
    assert contents(folder) != contents(SHIPPED)


def test_each_damage_is_in_one_row():
    for damage in policy_files.DAMAGES:
        rows = [name for name, _, begins in policy_files.ROWS if damage.startswith(begins)]
        assert len(rows) == 1, damage


def test_a_damage_is_sealed_unless_the_hash_is_the_point(tmp_path):
    def matches(damage):
        folder = tmp_path / damage[:20]
        shutil.copytree(SHIPPED, folder)
        policy_files.DAMAGES[damage](folder)
        files = json.loads((folder / "card.json").read_text("utf-8"))["files"]
        return all(sha256((folder / name).read_bytes()) == said for name, said in files.items())

    assert matches("GGUF with a NaN weight")
    assert not matches("GGUF with one flipped bit, hash as it was")
