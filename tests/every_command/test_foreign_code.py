"""What could run code that is not ours stands in the package only where there is a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "detr_attnviz"
MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
DANGEROUS_MODULES = {
    *("subprocess", "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "runpy"),
    *(
        "code",
        "codeop",
        "ctypes",
        "pty",
        "multiprocessing",
        "webbrowser",
        "imp",
        "pickletools",
        "xmlrpc",
        "socketserver",
    ),
}
DANGEROUS_NAMES = {"eval", "exec", "compile", "__import__", "import_module", "breakpoint", "input"}
DANGEROUS_ATTRIBUTES = {
    *("system", "popen", "startfile", "launch", "import_module", "fork", "forkpty", "run_module", "run_path"),
    *(f"{verb}{form}" for verb in ("exec", "spawn") for form in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}
ALLOWED = {
    ("__init__", "import_module"): "the public door opens on modules of this package, by a table of its own",
    ("batch.ray_cluster", "import_module"): "Ray by its own name, as it is optional",
    ("batch.ray_engine", "import_module"): "PyArrow by its own name, as it is optional",
    ("batch.ray_engine", "pickle"): "between processes of one run, of what they made themselves; never of a file",
    ("checkpoints.pickles", "pickle"): "the class of its errors; files are read by torch.load(weights_only=True)",
    ("checkpoints.machine", "pickletools"): "reads the steps of a pickle, of which nothing is made but plain values",
    ("cli.explore", "webbrowser"): "--open, with an address in which every letter that means something is escaped",
    ("decoders", "ctypes"): "two functions of the TIFF library that Pillow has loaded, which keep it quiet",
    ("decoders", "import_module"): "Pillow's plugins of the kinds that are read, by a table of its own",
    ("process", "ctypes"): "two functions of the C library that give memory back",
}


def dangers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (root for alias in node.names if (root := alias.name.partition(".")[0]) in DANGEROUS_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            root = node.module.partition(".")[0]
            yield from [root] if root in DANGEROUS_MODULES else ()
            yield from (alias.name for alias in node.names if alias.name in DANGEROUS_NAMES)
        elif isinstance(node, ast.Name) and node.id in DANGEROUS_NAMES:
            yield node.id
        elif isinstance(node, ast.Attribute) and node.attr in DANGEROUS_ATTRIBUTES:
            yield node.attr


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_what_could_run_foreign_code_has_a_reason(module: str) -> None:
    assert {(module, danger) for danger in dangers(tree_of(module))} <= ALLOWED.keys()


def test_no_reason_is_left_over() -> None:
    assert {(module, danger) for module in MODULES for danger in dangers(tree_of(module))} == ALLOWED.keys()


def keywords_of(call: ast.Call) -> dict[str, str]:
    return {word.arg: ast.unparse(word.value) for word in call.keywords if word.arg}


@pytest.mark.parametrize(
    ("name", "keyword", "value"),
    [("torch.load", "weights_only", "True"), ("AutoTokenizer.from_pretrained", "trust_remote_code", "False")],
)
def test_what_reads_files_is_told_to_run_nothing(name: str, keyword: str, value: str) -> None:
    calls = [node for module in MODULES for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)]
    found = [call for call in calls if ast.unparse(call.func).endswith(name)]
    assert found
    assert {keywords_of(call).get(keyword) for call in found} == {value}
