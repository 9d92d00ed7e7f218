"""The examples in docstrings are right."""

import doctest
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"rarrl": "rarrl", "rarrl_learning": "learning", "rarrl_nodes": "nodes", "rarrl_sim_envs": "sim_envs"}
OPTIONAL = ("torch", "llama_cpp", "mujoco", "rclpy", "gguf", "websockets", "sklearn", "skimage", "tokenizers")


def with_examples() -> list[str]:
    """Modules whose docstrings hold examples."""
    return [
        ".".join(
            (package, *(part for part in path.relative_to(ROOT / folder).with_suffix("").parts if part != "__init__"))
        )
        for package, folder in FOLDERS.items()
        for path in sorted((ROOT / folder).rglob("*.py"))
        if ">>> " in path.read_text("utf-8")
    ]


@pytest.mark.parametrize("name", with_examples())
def test_examples_of(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in OPTIONAL:
            pytest.skip(f"needs {error.name}")
        raise
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
