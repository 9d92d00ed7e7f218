"""Imports point one way: types <- config <- the parts <- pipeline <- cli, nodes, sim_envs. Read from the source."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"rarrl": "rarrl", "rarrl_nodes": "nodes", "rarrl_sim_envs": "sim_envs"}
SOURCES = {name: sorted((ROOT / folder).rglob("*.py")) for name, folder in FOLDERS.items()}

# A module may import those of lower layers, of its own part, and, in a layer of single modules, of its own layer.
LAYERS = dict.fromkeys(("types", "errors", "clock", "files"), 0)
LAYERS |= dict.fromkeys(("config", "strict_json", "alfred", "llama", "worker_process"), 1)
PARTS = ("perception", "policy", "quantize", "reasoner", "orchestrator", "safety", "resources", "latency")
LAYERS |= dict.fromkeys(PARTS, 2)
LAYERS |= dict.fromkeys(("results", "doctor", "events"), 2)
LAYERS |= dict.fromkeys(("pipeline", "record", "build", "report", "why", "whole_policy"), 3)
LAYERS |= {"cli": 4}

# Optional or slow to import: only in these modules, inside functions.
HEAVY = {
    "torch": {
        "rarrl.orchestrator.train",
        "rarrl.perception.stereovoxelnet",
        "rarrl.reasoner.train",
        "rarrl.llama.model",
        "rarrl.quantize.scores",
        "rarrl.quantize.quantize",
        "rarrl.policy.commands",
        "rarrl.policy.model",
        "rarrl.policy.parity",
        "rarrl.policy.student",
        "rarrl.policy.train",
        "rarrl.whole_policy",
        "rarrl_sim_envs.sb3",
        "rarrl_sim_envs.benchmark",
    },
    "stable_baselines3": {"rarrl.orchestrator.train", "rarrl_sim_envs.sb3", "rarrl_sim_envs.benchmark"},
    "sb3_contrib": {"rarrl.orchestrator.train", "rarrl_sim_envs.benchmark"},
    "llama_cpp": {
        "rarrl.reasoner.worker",  # a process of its own: it parses files from outside
        "rarrl.llama.runtime",
    },
    "mujoco": {"rarrl_sim_envs.metaworld_language", "rarrl_sim_envs.stereo_scene", "rarrl_sim_envs.tabletop"},
    "sklearn": {"rarrl.reasoner.baseline", "rarrl.reasoner.commands"},
    "tokenizers": {"rarrl.reasoner.export", "rarrl.reasoner.train", "rarrl.reasoner.vocabulary"},
    "gguf": {"rarrl.llama.gguf", "rarrl.reasoner.export"},
    "websockets": {"rarrl.policy.server"},
    "msgpack": {"rarrl.policy.server"},
    "skimage": {"rarrl.perception.scenes"},
    "rerun": {"rarrl.report.recording"},
    "matplotlib": None,  # anywhere, but inside functions
}
# Wholly about networks; no other module imports them outside a function (the last test looks).
TOP_LEVEL_ALLOWED = {
    "rarrl.llama.model",
    "rarrl.orchestrator.train",
    "rarrl.perception.stereovoxelnet",
    "rarrl.policy.model",
    "rarrl.policy.student",
    "rarrl.policy.train",
    "rarrl.quantize.scores",
    "rarrl.reasoner.train",
    "rarrl.whole_policy",
    "rarrl_sim_envs.sb3",
}
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


@dataclass(frozen=True)
class Import:
    """`importer` (a module) imports `target` (absolute); `lazy`: inside a function or for the type checker only."""

    importer: str
    target: str
    lazy: bool
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def module_name(package: str, path: Path) -> str:
    parts = path.relative_to(ROOT / FOLDERS[package]).with_suffix("").parts
    return ".".join((package, *(part for part in parts if part != "__init__")))


def imports_of(source: str, module: str, is_package: bool) -> list[Import]:
    """All imports of a module, with those inside functions."""
    found: list[Import] = []

    def visit(node: ast.AST, lazy: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            lazy = True
        if isinstance(node, ast.Import):
            found.extend(Import(module, alias.name, lazy, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, *([node.module] if node.module else [])])
            # `from rarrl import cli` names a module, `from rarrl.cli import main` a function in one: keep both forms.
            found.extend(Import(module, f"{base}.{alias.name}", lazy, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            found.extend(
                Import(module, str(a.value), lazy, node.lineno) for a in node.args if isinstance(a, ast.Constant)
            )
        inner = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(ast.parse(source), False)
    return found


def all_imports(package: str) -> list[Import]:
    return [
        found
        for path in SOURCES[package]
        for found in imports_of(path.read_text("utf-8"), module_name(package, path), path.name == "__init__.py")
    ]


def top(module: str) -> str:
    return module.split(".")[0]


def part(module: str) -> str:
    """`latency` for rarrl.latency.profile; "" for rarrl itself (its version)."""
    names = module.split(".")
    return names[1] if len(names) > 1 and (names[1] in LAYERS) else ""


def breaches_of_layers(imports: list[Import]) -> list[str]:
    """Imports within rarrl that point up or sideways."""
    bad = []
    for found in imports:
        importer, target = part(found.importer), part(found.target)
        if top(found.target) != "rarrl" or not target or importer == target:
            continue
        ours, theirs = LAYERS.get(importer, -1), LAYERS[target]
        siblings = importer in PARTS and target in PARTS
        if theirs > ours or siblings:
            bad.append(str(found))
    return bad


def breaches_of_ros(imports: list[Import]) -> list[str]:
    """The core reaches for ROS, its nodes or the simulators; only the command line may, when it runs a command."""
    outer = {"rclpy", "launch", "launch_ros", "rarrl_nodes", "rarrl_sim_envs"}
    return [str(i) for i in imports if top(i.target) in outer and not (part(i.importer) == "cli" and i.lazy)]


def breaches_of_heavy(imports: list[Import]) -> list[str]:
    """Optional packages where they should not be, or imported before they are needed."""
    bad = []
    for found in imports:
        if top(found.target) in HEAVY:
            allowed = HEAVY[top(found.target)]
            if allowed is not None and found.importer not in allowed:
                bad.append(f"{found} (only {', '.join(sorted(allowed))} may)")
            elif not found.lazy and found.importer not in TOP_LEVEL_ALLOWED:
                bad.append(f"{found} outside a function")
    return bad


def test_every_module_has_a_layer():
    names = {path.stem for path in (ROOT / "rarrl").glob("*.py")} | {
        p.parent.name for p in ROOT.glob("rarrl/*/__init__.py")
    }
    assert names - set(LAYERS) - {"__init__", "__main__"} == set(), "give the new module a layer in this file"


def test_imports_point_one_way_and_siblings_do_not_meet():
    assert breaches_of_layers(all_imports("rarrl")) == []


def test_the_core_knows_neither_ros_nor_simulators():
    assert breaches_of_ros(all_imports("rarrl")) == []


def test_simulators_do_not_know_ros_and_nodes_do_not_know_the_command_line():
    assert [str(i) for i in all_imports("rarrl_sim_envs") if top(i.target) in ("rclpy", "rarrl_nodes")] == []
    for package in ("rarrl_nodes", "rarrl_sim_envs"):
        assert [str(i) for i in all_imports(package) if i.target.startswith("rarrl.cli")] == []


def test_heavy_packages_are_imported_where_and_when_needed():
    assert breaches_of_heavy([i for package in SOURCES for i in all_imports(package)]) == []


def test_there_is_no_pickle():
    assert [str(i) for package in SOURCES for i in all_imports(package) if top(i.target) in PICKLES] == []
    for package in SOURCES:
        for path in SOURCES[package]:
            assert "allow_pickle=True" not in path.read_text("utf-8"), path


def test_mapped_packages_use_relative_imports_within_themselves():
    # Absolute ones break where a tool imports the folder by another name than the installed one.
    for package in ("rarrl_nodes", "rarrl_sim_envs"):
        for path in SOURCES[package]:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and not node.level:
                    assert top(node.module or "") != package, f"{path.name}:{node.lineno}"


@pytest.mark.parametrize(
    ("module", "source", "breaches"),
    [
        ("rarrl.latency.replay", "from rarrl.orchestrator.features import encode", 1),
        ("rarrl.latency.replay", "def f():\n    from ..orchestrator import features", 1),
        ("rarrl.types", "import rarrl.config", 1),
        ("rarrl.config", "from rarrl import cli", 1),
        ("rarrl.config", "from rarrl.errors import InputError", 0),
        ("rarrl.latency.replay", "from rarrl.latency.profile import load", 0),
        ("rarrl.cli", "from rarrl.orchestrator.evaluate import evaluate", 0),
        ("rarrl.config", "def f():\n    import rclpy.node", 1),
        ("rarrl.cli", "import rarrl_nodes", 1),
        ("rarrl.cli", "def f():\n    from rarrl_nodes import orchestrator_node", 0),
        ("rarrl.orchestrator.evaluate", "import torch", 1),
        ("rarrl.orchestrator.train", "def f():\n    import torch.nn", 0),
        ("rarrl.orchestrator.learned", "def f():\n    import torch.nn", 1),
        ("rarrl.report", "import matplotlib.pyplot as plt", 1),
        ("rarrl.orchestrator.train", "import importlib\nimportlib.import_module('rclpy')", 1),
    ],
)
def test_the_rules_can_say_no(module, source, breaches):
    found = imports_of(source, module, is_package=False)
    assert len(breaches_of_layers(found) + breaches_of_ros(found) + breaches_of_heavy(found)) == breaches


def test_importing_the_core_loads_nothing_heavy():
    modules = {module_name("rarrl", path) for path in SOURCES["rarrl"]} - TOP_LEVEL_ALLOWED - {"rarrl.__main__"}
    heavy = ["torch", "stable_baselines3", "sb3_contrib", "tensorboard", "mujoco", "rclpy", "matplotlib", "skimage"]
    code = f"""
import importlib, sys
for module in {sorted(modules)}:
    importlib.import_module(module)
    loaded = [name for name in {heavy} if name in sys.modules]
    if loaded:
        sys.exit(f"importing {{module}} loads {{', '.join(loaded)}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
