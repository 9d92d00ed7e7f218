"""Imports point one way: rarrl <- sim_envs <- learning <- nodes; the command line imports what it runs."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"rarrl": "rarrl", "rarrl_sim_envs": "sim_envs", "rarrl_learning": "learning", "rarrl_nodes": "nodes"}
"""Installed name -> folder, each of which may import itself and those before it."""
SOURCES = {name: sorted((ROOT / folder).rglob("*.py")) for name, folder in FOLDERS.items()}

# Within rarrl: a module may import those of lower layers, of its own part, and, in a layer of single modules, of its
# own layer.
LAYERS = dict.fromkeys(("types", "errors", "clock", "files", "diagnostics", "range_scan", "poses", "secrets"), 0)
LAYERS |= {"supervision": 0, "resources": 0}
LAYERS |= dict.fromkeys(("config", "strict_json", "strict_yaml", "plugins", "llama", "worker_process", "frames"), 1)
LAYERS |= dict.fromkeys(("alfred", "skills", "alfred_plans", "bag"), 1)
PARTS = ("perception", "policy", "reasoner", "orchestrator", "safety", "latency")
LAYERS |= dict.fromkeys(PARTS, 2)
LAYERS |= dict.fromkeys(("results", "doctor", "events"), 2)
LAYERS |= dict.fromkeys(("decision_loop", "build", "report", "robot", "why", "thinking"), 3)
LAYERS |= {"executive": 4, "view": 4, "cli": 5, "__main__": 5}

# Optional or slow to import: only in these modules, inside functions.
HEAVY = {
    "textworld": {"rarrl_sim_envs.alfworld.textworld_game"},
    "alfworld": {"rarrl_sim_envs.alfworld.textworld_game"},
    "pyrobosim": {"rarrl_sim_envs.pyrobosim.road_map", "rarrl_sim_envs.pyrobosim.robot"},
    "torch": {
        "rarrl.policy.openvla_convert",
        "rarrl_learning.alfworld.train",
        "rarrl_learning.orchestrator.benchmark",
        "rarrl_learning.orchestrator.from_sb3",
        "rarrl_learning.orchestrator.train",
        "rarrl_learning.perception.stereovoxelnet",
        "rarrl_learning.policy.jobs",
        "rarrl_learning.policy.model",
        "rarrl_learning.policy.parity",
        "rarrl_learning.policy.student",
        "rarrl_learning.policy.train",
        "rarrl_learning.quantize.aware",
        "rarrl_learning.quantize.policy_folder",
        "rarrl_learning.quantize.quantize",
        "rarrl_learning.quantize.scores",
        "rarrl_learning.reasoner.train",
        "rarrl_learning.reasoner.train_goal_reader",
        "rarrl_learning.skills.train",
        "rarrl_learning.torch_llama",
        "rarrl_sim_envs.alfred.sb3_vec_env",
    },
    "stable_baselines3": {
        "rarrl_learning.orchestrator.benchmark",
        "rarrl_learning.orchestrator.from_sb3",
        "rarrl_learning.orchestrator.train",
        "rarrl_sim_envs.alfred.sb3_vec_env",
    },
    "sb3_contrib": {"rarrl_learning.orchestrator.benchmark", "rarrl_learning.orchestrator.train"},
    "llama_cpp": {
        "rarrl.llama.library",
        "rarrl.reasoner.worker",  # a process of its own: it parses files from outside
    },
    "mujoco": {"rarrl_sim_envs.instruction_env", "rarrl_sim_envs.stereo_room.scene"},
    "miniworld": {"rarrl_sim_envs.miniworld.robot"},
    "ray": {"rarrl_learning.spread"},
    "pyglet": {"rarrl_sim_envs.miniworld.robot"},
    "irsim": {"rarrl_sim_envs.irsim.robot"},
    "shapely": {"rarrl_sim_envs.irsim.robot", "rarrl_sim_envs.pyrobosim.road_map"},
    "sklearn": {"rarrl_learning.reasoner.jobs", "rarrl_learning.reasoner.tfidf_baseline"},
    "tokenizers": {
        "rarrl_learning.reasoner.export",
        "rarrl_learning.reasoner.tokenizer",
        "rarrl_learning.reasoner.train",
    },
    "gguf": {"rarrl.llama.gguf", "rarrl_learning.reasoner.export"},
    "websockets": {"rarrl.policy.server", "rarrl_nodes.faults.strangers"},
    "msgpack": {"rarrl.policy.server", "rarrl_nodes.faults.strangers"},
    "skimage": {"rarrl_learning.perception.scenes"},
    "rerun": {"rarrl_learning.household.report.recording"},
    "mcap": {"rarrl.bag.reader", "rarrl.bag.rewrite", "rarrl.bag.writer"},
    "mcap_ros2": {"rarrl.bag.reader"},
    "zstandard": {"rarrl.bag.reader"},
    "lz4": {"rarrl.bag.reader"},
    "matplotlib": None,  # anywhere, but inside functions
}
# Wholly about networks; no other module imports them outside a function (the last test looks).
TOP_LEVEL_ALLOWED = {
    "rarrl_learning.orchestrator.train",
    "rarrl_learning.perception.stereovoxelnet",
    "rarrl_learning.policy.model",
    "rarrl_learning.policy.student",
    "rarrl_learning.policy.train",
    "rarrl_learning.quantize.aware",
    "rarrl_learning.quantize.policy_folder",
    "rarrl_learning.quantize.scores",
    "rarrl_learning.reasoner.train",
    "rarrl_learning.torch_llama",
    "rarrl_sim_envs.alfred.sb3_vec_env",
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
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
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
        if found.importer == "rarrl" and found.lazy:
            continue  # the public names, imported when they are first used
        ours, theirs = LAYERS.get(importer, -1), LAYERS[target]
        siblings = importer in PARTS and target in PARTS
        if theirs > ours or siblings:
            bad.append(str(found))
    return bad


def breaches_of_packages(imports: list[Import]) -> list[str]:
    """Imports from a package to one that comes after it. The command line may, inside functions; nobody imports it."""
    order = [*FOLDERS, "rclpy", "launch", "launch_ros"]
    bad = []
    for found in imports:
        importer, target = top(found.importer), top(found.target)
        of_cli = importer == "rarrl" and part(found.importer) in ("cli", "__main__")
        upwards = target in order and order.index(target) > order.index(importer) and importer != "rarrl_nodes"
        if (upwards and not (of_cli and found.lazy)) or (part(found.target) == "cli" and not of_cli):
            bad.append(str(found))
    return bad


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


def test_packages_know_only_those_before_them():
    assert breaches_of_packages([i for package in SOURCES for i in all_imports(package)]) == []


def test_each_folder_says_what_it_is_for():
    # docs/reference/map.md is made from these docstrings.
    folders = {path.parent for paths in SOURCES.values() for path in paths}
    for folder in sorted(folders):
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
        assert len(docstring.split()) >= 3, f"{folder.relative_to(ROOT)}/__init__.py: say what the folder is for"


def test_a_robot_needs_four_fifths_of_the_core():
    """What the robot's nodes and the two worker processes can reach, of rarrl/ without rarrl/cli."""
    nodes = (
        "executive_node",
        "deadman_node",
        "orchestrator_node",
        "replay_node",
        "safety_gate_node",
        "stereo_voxel_node",
        "supervisor_node",
        "vla_policy_node",
    )
    todo = [f"rarrl_nodes.{node}" for node in nodes] + ["rarrl.policy.worker", "rarrl.reasoner.worker"]
    files = {module_name(package, path): path for package in SOURCES for path in SOURCES[package]}
    wanted = {found.importer: [] for found in (i for package in SOURCES for i in all_imports(package))}
    for package in SOURCES:
        for found in all_imports(package):
            wanted[found.importer] += [m for m in (found.target, found.target.rpartition(".")[0]) if m in files]
    reached = set()
    while todo:
        module = todo.pop()
        if module not in reached:
            reached.add(module)
            todo += wanted.get(module, []) + [m for m in (module.rpartition(".")[0],) if m in files]

    core = {m for m in files if top(m) == "rarrl" and part(m) != "cli" and m != "rarrl.__main__"}
    lines = {module: len(files[module].read_text("utf-8").splitlines()) for module in core}
    ours, all_lines = sum(lines[m] for m in core & reached), sum(lines.values())
    print(f"a robot reaches {len(core & reached)} of {len(core)} files, {ours} of {all_lines} lines of rarrl/")
    assert len(core & reached) >= 0.8 * len(core), sorted(core - reached)
    assert ours >= 0.8 * all_lines, sorted(core - reached)


def test_heavy_packages_are_imported_where_and_when_needed():
    assert breaches_of_heavy([i for package in SOURCES for i in all_imports(package)]) == []


def test_there_is_no_pickle():
    assert [str(i) for package in SOURCES for i in all_imports(package) if top(i.target) in PICKLES] == []
    for package in SOURCES:
        for path in SOURCES[package]:
            assert "allow_pickle=True" not in path.read_text("utf-8"), path


def test_mapped_packages_use_relative_imports_within_themselves():
    # Absolute ones break where a tool imports the folder by another name than the installed one.
    for package in ("rarrl_learning", "rarrl_nodes", "rarrl_sim_envs"):
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
        ("rarrl.config", "from rarrl import cli", 2),
        ("rarrl.config", "from rarrl.errors import InputError", 0),
        ("rarrl.latency.replay", "from rarrl.latency.profile import load", 0),
        ("rarrl.cli", "from rarrl.orchestrator.learned import load", 0),
        ("rarrl.config", "def f():\n    import rclpy.node", 1),
        ("rarrl.cli", "import rarrl_nodes", 1),
        ("rarrl.cli", "def f():\n    from rarrl_nodes import orchestrator_node", 0),
        ("rarrl.report.page", "def f():\n    from rarrl_learning import results", 1),
        ("rarrl_sim_envs.suites", "def f():\n    from rarrl_learning.policy import train", 1),
        ("rarrl_learning.policy.train", "from rarrl_sim_envs.suites import SUITES", 0),
        ("rarrl_learning.policy.train", "from rarrl_nodes import graph", 1),
        ("rarrl_learning.policy.train", "def f():\n    from rarrl.cli.common import console", 2),
        ("rarrl_learning.orchestrator.evaluate", "import torch", 1),
        ("rarrl_learning.orchestrator.train", "def f():\n    import torch.nn", 0),
        ("rarrl.orchestrator.learned", "def f():\n    import torch.nn", 1),
        ("rarrl.report", "import matplotlib.pyplot as plt", 1),
        ("rarrl.orchestrator.registry", "import importlib\nimportlib.import_module('rclpy')", 1),
        ("rarrl.clock", "from importlib import import_module\nimport_module('rarrl_learning.progress')", 1),
    ],
)
def test_the_rules_can_say_no(module, source, breaches):
    found = imports_of(source, module, is_package=False)
    assert len(breaches_of_layers(found) + breaches_of_packages(found) + breaches_of_heavy(found)) == breaches


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
