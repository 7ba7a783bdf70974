"""The walls of the house: who may import whom, and what a stage's start-up may cost."""

import ast
import subprocess
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.support import code

ROOT = Path(__file__).parents[1]
FLOORS = ["lirf", "stages", "pipeline"]  # each may import itself and what stands before it
MODULES = {
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path
    for floor in FLOORS
    for path in sorted((ROOT / floor).rglob("*.py"))
}
GRAPHS = [ROOT / "dvc.yaml", ROOT / "pipeline" / "studies" / "dvc.yaml"]
STAGES = {
    name: body for path in GRAPHS for name, body in YAML(typ="safe").load(path)["stages"].items()
}

LEFT_OUT = {  # no code dependency
    name for name in MODULES if name.startswith(("lirf.params", "stages.telling"))
}

PUBLISHED = {
    "lirf.publish.pipeline",
    "lirf.publish.scheduler",
    "lirf.publish.velocity",
}  # models carry copies of these
FRAME = "lirf.autoencoder.frame"  # written into the pipeline's copy
OWNERS = {  # the only files of lirf that may import a library
    "zarr": {"lirf.store.parts"},
    "pyarrow": {"lirf.store.parts", "lirf.store.banks", "lirf.store.tables"},
    "faiss": {"lirf.neighbours.search"},
    "diffusers": {"lirf.autoencoder.kinds", *PUBLISHED},
    "timm": {"lirf.features.vision", "lirf.features.imagenet"},
    "torch_fidelity": {"lirf.features.inception"},
    "torchdiffeq": {"lirf.solvers.adaptive"},
    "jinja2": {"lirf.report.page", "lirf.report.closest"},
    "matplotlib": {"lirf.report.style"},
    "accelerate": {"lirf.training.parallel"},
}

HEAVY = ["torch", "faiss", "scipy", "diffusers", "timm", "torchvision", "sklearn", "matplotlib"]
ALLOWED = {  # which heavy libraries a stage's start may load
    "admit": ["faiss"],
    "merge": [],
    "initialize": ["torch"],
    "train": ["torch"],
    "sample": ["torch"],
    "correct": ["faiss"],
    "diagnose": ["torch", "faiss"],
}


@cache
def imports(module: str) -> frozenset[str]:
    """Return every name that `module` imports anywhere but for type checking."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(MODULES[module].read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        pending += ast.iter_child_nodes(node)
    return frozenset(found)


def closure(*modules: str, without: Collection[str] = ()) -> set[str]:
    """Return `modules` and every module of the project that they reach not through `without`."""
    reached, pending = set[str](), [*modules]
    while pending:
        name = pending.pop()
        if name not in reached and name not in without:
            reached.add(name)
            pending += [other for other in imports(name) if other in MODULES]
    return reached


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str):
    floor = FLOORS.index(module.split(".", maxsplit=1)[0])
    above = {name for name in imports(module) if name.split(".")[0] in FLOORS[floor + 1 :]}
    assert not above


@pytest.mark.parametrize(("library", "owners"), OWNERS.items())
def test_a_library_has_its_owners_in_lirf(library: str, owners: set[str]):
    users = {
        module
        for module in MODULES
        if module.startswith("lirf.")
        and any(name.split(".")[0] == library for name in imports(module))
    }
    assert users <= owners


@pytest.mark.parametrize("module", sorted(PUBLISHED))
def test_what_models_carry_copies_of_stands_on_its_own(module: str):
    installed = {"torch", "diffusers", "numpy", "PIL", *sys.stdlib_module_names}
    for name in closure(module):
        assert {one.split(".")[0] for one in imports(name)} <= {"lirf", *installed}, name
        room = name.split(".")[1]
        assert room in {"publish", "networks", "objectives", "solvers"} or name == FRAME


def test_the_method_knows_neither_dvc_nor_prefect():
    for module in MODULES:
        tops = {name.split(".")[0] for name in imports(module)}
        if not module.startswith("pipeline"):
            assert not tops & {"dvc", "prefect"}, module


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_imports(stage: str):
    deps = set(STAGES[stage].get("do", STAGES[stage])["deps"])
    if stage == "code":
        assert deps == {"lirf", "stages"}
        return
    manifest = (code.MANIFESTS / f"{stage}.json").as_posix()
    assert {dep for dep in deps if dep.startswith(("lirf", "stages", "data/code"))} == {manifest}
    reached = closure(f"stages.{stage}", "lirf.__init__", "stages.__init__", without=LEFT_OUT)
    modules = {MODULES[name] for name in reached}
    packages = {path.with_name("__init__.py") for path in modules}
    listed = {ROOT / path for path in code.manifest(stage)}
    assert {path for path in listed if path.suffix == ".py"} == modules | packages
    assert {path.name for path in listed if path.suffix != ".py"} == (
        {"page.css", "page.html", "page.js"} if stage == "page" else set()
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_word_everywhere(stage: str):
    body = STAGES[stage].get("do", STAGES[stage])
    assert body["cmd"].startswith(f"python -m stages.{stage} ")
    assert f"stages.{stage}" in MODULES
    assert (ROOT / "tests" / "stages" / f"test_{stage}.py").exists()


@pytest.mark.parametrize(
    "module", [name for name in MODULES if name.startswith("lirf.") and "__" not in name]
)
def test_tests_mirror_the_code(module: str):
    *rooms, name = module.split(".")
    assert ROOT.joinpath("tests", *rooms, f"test_{name}.py").exists()


@pytest.mark.parametrize(("stage", "allowed"), ALLOWED.items())
def test_what_a_stage_loads_at_its_start(stage: str, allowed: list[str]):
    program = f"import sys, stages.{stage}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "lirf.params" in loaded
    assert {MODULES[name] for name in loaded & MODULES.keys() - LEFT_OUT} <= {
        ROOT / path for path in code.manifest(stage)
    }
    assert {name for name in HEAVY if name in loaded} == set(allowed)
