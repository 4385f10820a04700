"""The import law of the architecture: who may import whom, inside functions as well."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "detr_attnviz"
NAME = PACKAGE.name

VOCABULARY = {"errors", "grid", "detections", "sites", "explanation"}
VOCABULARY |= {"pictures", "decoders", "files", "plain", "memory"}
PICTURE = {"errors", "grid", "detections", "explanation"}
LAW: dict[str, set[str]] = {
    "errors": set(),
    "grid": {"errors"},
    "detections": {"errors"},
    "sites": {"errors"},
    "pictures": {"errors", "decoders", "files"},
    "decoders": set(),
    "files": {"errors"},
    "plain": set(),
    "process": set(),
    "memory": set(),
    "explanation": PICTURE | {"sites"},
    "checkpoints": VOCABULARY,
    "models": VOCABULARY,
    "models.build": VOCABULARY | {"checkpoints"},
    "families": VOCABULARY | {"checkpoints", "models"},
    "recording": VOCABULARY | {"checkpoints.packed"},
    "detector": VOCABULARY | {"families", "recording", "trace"},
    "trace": VOCABULARY | {"families", "recording", "detector"},
    "proof": {"errors"},
    "verification": VOCABULARY | {"proof"} | {"families", "recording", "detector", "trace"},
    "methods": VOCABULARY | {"recording", "detector", "trace"},
    "drawing": VOCABULARY,
    "batch": VOCABULARY | {"detector", "trace", "verification", "proof", "methods", "drawing"},
    "explorer": VOCABULARY | {"recording", "detector", "trace", "methods", "drawing"},
    "figures": VOCABULARY | {"checkpoints", "recording", "detector", "trace", "methods", "drawing"},
    "evaluation": VOCABULARY | {"families", "detector", "trace", "methods", "drawing", "batch"},
    "cli": {
        "errors",
        "files",
        "plain",
        "memory",
        "pictures",
        "decoders",
        "trace",
        "process",
        "detector",
        "verification",
        "proof",
        "methods",
        "drawing",
        "explorer",
        "figures",
        "batch",
        "evaluation",
        "checkpoints",
    },
    "__main__": {"cli"},
    "__init__": {
        "errors",
        "process",
        "explanation",
        "sites",
        "detector",
        "trace",
        "verification",
        "methods",
        "drawing",
        "explorer",
        "figures",
        "evaluation",
        "recording",
        "checkpoints.packed",
    },
}
HOMES = {
    "safetensors": {"checkpoints.tensors"},
    "torchvision": set(),  # a second of every start; the tests compare with it
    "matplotlib": {"drawing.figure", "drawing.curves", "drawing.colormap", "drawing.prints", "figures.printed"},
    "fontTools": {"drawing.prints.fonts"},
    "huggingface_hub": {"checkpoints.hub"},
    "timm": set(),  # transformers' business
    "typer": {"cli"},
    "rich": {"cli"},
    "PIL": {
        "drawing",
        "explorer",
        "batch",
        "evaluation",
        "pictures",
        "decoders",
        "trace",
        "detector",
        "families",
        "explanation",
        "verification",
    },
}
SHOWN_BY_THE_DOOR = {"explanation", "trace"}
OPTIONAL = ("transformers", "huggingface_hub", "ray")
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py" or path.parent == PACKAGE
)

HOMES["transformers"] = {module for module in MODULES if module.startswith("families.hf_")}


def imports_of(module: str) -> set[str]:
    tree = ast.parse((PACKAGE / (module.replace(".", "/") + ".py")).read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            assert node.module is not None
            found.add(node.module)
            if node.module == NAME or (PACKAGE / "/".join(node.module.split(".")[1:])).is_dir():
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def covers(rules: set[str], module: str) -> bool:
    return any(module == rule or module.startswith(f"{rule}.") for rule in rules)


def law_of(module: str) -> set[str]:
    room = module.partition(".")[0]
    allowed = LAW[module] if module in LAW else LAW[room]
    return allowed | ({room} if "." in module else set())


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    own = {name.removeprefix(f"{NAME}.") for name in imports_of(module) if name.startswith(f"{NAME}.")}
    own -= {"__version__"}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    broken = {name for name in own if name not in folders and not covers(law_of(module), name)}
    assert not broken, f"{module} may not import {sorted(broken)}"


@pytest.mark.parametrize("module", MODULES)
def test_only_what_shows_itself_calls_the_public_door(module: str) -> None:
    tree = ast.parse((PACKAGE / (module.replace(".", "/") + ".py")).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert NAME not in names or module in SHOWN_BY_THE_DOOR


@pytest.mark.parametrize("module", MODULES)
def test_third_parties_have_one_home(module: str) -> None:
    broken = {
        name
        for name in imports_of(module)
        if (home := HOMES.get(name.partition(".")[0])) is not None and not covers(home, module)
    }
    assert not broken, f"{module} may not import {sorted(broken)}"


def test_every_import_is_declared_or_standard() -> None:
    known = {NAME, "torch", "numpy", "PIL", "matplotlib", "fontTools", "typer", "rich", "safetensors", "jaxtyping"}
    known |= set(OPTIONAL)
    roots = {name.partition(".")[0] for module in MODULES for name in imports_of(module)}
    assert roots - known - sys.stdlib_module_names == set()


@pytest.mark.parametrize("module", MODULES)
def test_optional_packages_are_imported_inside_functions(module: str) -> None:
    tree = ast.parse((PACKAGE / (module.replace(".", "/") + ".py")).read_text())
    inside = {id(node) for part in ast.walk(tree) if isinstance(part, ast.FunctionDef) for node in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in inside:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not {name.partition(".")[0] for name in names} & set(OPTIONAL), module


def test_no_drawer_for_everything() -> None:
    names = {module.rpartition(".")[2] for module in MODULES}
    assert not names & {"utils", "util", "common", "helpers", "misc"}


def test_packages_hold_a_docstring_only() -> None:
    for path in PACKAGE.rglob("*/__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def test_there_are_no_cycles() -> None:
    graph = {
        module: {
            name.removeprefix(f"{NAME}.")
            for name in imports_of(module)
            if name.removeprefix(f"{NAME}.") in MODULES and name.startswith(NAME)
        }
        - _only_for_types(module)
        for module in MODULES
        if module not in ("__init__", "__main__")
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path, module))
        if module in done:
            return
        for other in graph.get(module, ()):
            visit(other, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def _only_for_types(module: str) -> set[str]:
    tree = ast.parse((PACKAGE / (module.replace(".", "/") + ".py")).read_text())
    guarded = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {
        inner.module.removeprefix(f"{NAME}.")
        for node in guarded
        for inner in ast.walk(node)
        if isinstance(inner, ast.ImportFrom) and inner.module
    }
