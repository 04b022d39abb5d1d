"""The structure of the source, checked: what imports what, what stands where, how large things are.

Each test lists every breach as ``file:line: what is wrong``. The rules are those of CONTRIBUTING.md; exceptions are lists, with reasons.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "edgewright"

# From left to right; a room imports only from further left. Rooms of one row do not import each other.
ROWS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("files",),
    ("ir",),
    ("ops",),
    ("numerics",),  # methods on arrays: rounding, clusters, selections; they know no graph
    ("data",),
    ("analysis",),  # what is known of a graph without changing it; passes and the diagnosis ask it
    ("evaluation",),  # metrics and statistics of answers; passes that choose by accuracy, the search and the report read them
    ("targets",),
    ("recipe",),
    ("train",),
    ("frontends", "passes", "lower", "emit", "run"),
    ("steps",),
    ("diagnosis",),  # runs the clean-up of passes on both networks; the report draws what it finds
    ("costs",),
    ("search",),
    ("report",),
    ("pipeline",),
    ("verbs",),
    ("cli",),
    ("__init__", "__main__"),
)
# train is one of the rooms in braces of DESIGN; it has a row of its own because passes/train, and that folder alone, may import it.
MAY_IMPORT_TRAIN = ("passes/train", "search", "report", "pipeline", "verbs")
# The noun that emitters take is made in lower, and stands beside its makers; nothing else of lower is open to them.
NOUNS_ACROSS = {("emit", ("edgewright", "lower", "program"))}

FILE_FORMATS = {"onnx", "onnxscript", "flatbuffers", "ai_edge_litert", "onnxruntime", "tflite_micro", "ethosu"}
FILE_FORMAT_ROOMS = {"frontends", "emit", "run"}

# Packages that a machine need not have: they may be imported where they are used.
OPTIONAL_EXTRAS = {
    "ethosu", "unicorn", "ziglang", "tflite_micro", "PIL", "sklearn", "scipy", "serial", "onnxscript", "optuna",
    "accelerate", "safetensors", "torchmetrics",
}  # fmt: skip
# `edgewright --help` answers in half a second, so these two load the heavy rooms when a verb needs them.
LAZY_FILES = {"__init__.py", "cli.py"}

FORBIDDEN_FOLDERS = {"utils", "util", "common", "core", "experimental", "legacy", "helpers", "misc"}
MACHINE_PATH = re.compile(r"(^|[^.\w])/(work|farm|tmp|root|home|Users)/[\w.-]")

MOST_FILE_LINES = 420
MOST_FUNCTION_LINES = 60
MOST_PUBLIC_NAMES = 25
MOST_PASS_OPTIONS = 6


@dataclass(frozen=True)
class Module:
    """One parsed file of src/edgewright; ``name`` is its path there."""

    name: str
    tree: ast.Module
    lines: int

    @property
    def room(self) -> str:
        return self.name.split("/")[0].removesuffix(".py")

    @property
    def folder(self) -> str:
        return str(Path(self.name).parent)

    def dotted(self) -> tuple[str, ...]:
        """The module's name in parts, without a final __init__."""
        parts = ("edgewright", *Path(self.name).with_suffix("").parts)
        return parts[:-1] if parts[-1] == "__init__" else parts


@dataclass(frozen=True)
class Import:
    """One imported module, as dotted parts; for ``from a import b`` both (a,) and (a, b) may be meant: ``parts`` is the longer."""

    parts: tuple[str, ...]
    line: int
    inside: str  # the function it stands in, or ""


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Module(path.relative_to(SOURCE).as_posix(), ast.parse(text, str(path)), text.count("\n") + 1))
    return tuple(found)


@cache
def imports_of(module: Module) -> tuple[Import, ...]:
    found: list[Import] = []

    def visit(node: ast.AST, inside: str) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(tuple(alias.name.split(".")), node.lineno, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base: tuple[str, ...] = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                package = module.dotted() if module.name.endswith("__init__.py") else module.dotted()[:-1]
                base = (*package[: len(package) - node.level + 1], *base)
            found.extend(Import((*base, alias.name), node.lineno, inside) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            here = node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else inside
            visit(child, here)

    visit(module.tree, "")
    return tuple(found)


def room_of(imported: Import) -> str | None:
    """The room of src/edgewright that an import reaches, None for other packages. ``from edgewright import ir`` reaches ir."""
    if imported.parts[0] != "edgewright":
        return None
    return imported.parts[1] if len(imported.parts) > 1 and imported.parts[1] in row_of() else "__init__"


@cache
def row_of() -> dict[str, int]:
    return {room: index for index, row in enumerate(ROWS) for room in row}


def public_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        yield from ((name, node.lineno) for name in names if not name.startswith("_"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def is_graph_pass(node: ast.stmt) -> bool:
    if not isinstance(node, ast.FunctionDef):
        return False
    called = (decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in node.decorator_list)
    return any(
        (isinstance(name, ast.Name) and name.id == "graph_pass") or (isinstance(name, ast.Attribute) and name.attr == "graph_pass")
        for name in called
    )


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    return [REPOSITORY / name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()]


def fail_with(rule: str, breaches: list[str]) -> None:
    if breaches:
        pytest.fail(f"{rule}\n  " + "\n  ".join(breaches), pytrace=False)


def test_every_room_has_its_place() -> None:
    rooms = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.is_dir() or path.suffix == ".py"} - {"__pycache__"}
    fail_with("src/edgewright has a room that no row of ROWS names:", sorted(rooms - set(row_of())))


def test_imports_go_one_way() -> None:
    breaches = []
    for module in modules():
        for imported in imports_of(module):
            room = room_of(imported)
            if room is None or room == module.room or (module.room, imported.parts[:3]) in NOUNS_ACROSS:
                continue
            where = f"{module.name}:{imported.line}: {module.room} imports {room} ({'.'.join(imported.parts)})"
            if room == "train" and not module.name.startswith(MAY_IMPORT_TRAIN):
                breaches.append(f"{where}; of the passes only passes/train does")
            elif row_of()[room] >= row_of()[module.room] and not (module.room in ("cli", "__main__") and room in ("__init__", "cli")):
                breaches.append(f"{where}, which does not stand further left")
    fail_with("imports go one way, errors → ir → ops → targets → {rooms} → steps → costs → search → report → pipeline → cli:", breaches)


def test_file_formats_stay_in_their_rooms() -> None:
    breaches = [
        f"{module.name}:{imported.line}: imports {imported.parts[0]}"
        for module in modules()
        if module.room not in FILE_FORMAT_ROOMS
        for imported in imports_of(module)
        if imported.parts[0] in FILE_FORMATS
    ]
    fail_with(f"file formats and their runtimes are known only to {', '.join(sorted(FILE_FORMAT_ROOMS))}:", breaches)


def test_imports_stand_at_the_top() -> None:
    breaches = [
        f"{module.name}:{imported.line}: {imported.inside}() imports {'.'.join(imported.parts)}"
        for module in modules()
        for imported in imports_of(module)
        if imported.inside
        and imported.parts[0] not in OPTIONAL_EXTRAS
        and not (module.name in LAZY_FILES and imported.parts[0] == "edgewright")
    ]
    fail_with("no imports inside functions, but for optional extras:", breaches)


def test_files_are_small() -> None:
    breaches = [f"{module.name}: {module.lines} lines" for module in modules() if module.lines > MOST_FILE_LINES]
    for path in sorted(path for pattern in ("*.c", "*.h", "*.S") for path in SOURCE.rglob(pattern)):
        lines = path.read_text(encoding="utf-8").count("\n") + 1
        if lines > MOST_FILE_LINES:
            breaches.append(f"{path.relative_to(SOURCE)}: {lines} lines")
    fail_with(f"a file has at most {MOST_FILE_LINES} lines:", breaches)


def test_functions_are_small() -> None:
    breaches = []
    for module in modules():
        for function in functions(module.tree):
            documentation = (
                function.body[0].end_lineno - function.body[0].lineno + 1 if ast.get_docstring(function, clean=False) is not None else 0
            )
            lines = (function.end_lineno or function.lineno) - function.lineno + 1 - documentation
            if lines > MOST_FUNCTION_LINES:
                breaches.append(f"{module.name}:{function.lineno}: {function.name} has {lines} lines")
    fail_with(f"a function has at most {MOST_FUNCTION_LINES} lines beside its docstring:", breaches)


def test_files_have_few_public_names() -> None:
    breaches = []
    for module in modules():
        names = list(dict.fromkeys(name for name, _ in public_names(module.tree)))
        if len(names) > MOST_PUBLIC_NAMES:
            breaches.append(f"{module.name}: {len(names)} ({', '.join(names[:6])}, ...)")
    fail_with(f"a file has at most {MOST_PUBLIC_NAMES} public names:", breaches)


def test_one_technique_one_file_one_function() -> None:
    """A file of a group of passes is one technique, or a noun that at least two files of src share; a folder without techniques (what
    they stand on: precision, surgery) is no group."""
    breaches = []
    groups = {module.folder for module in modules() if module.room == "passes" and any(is_graph_pass(node) for node in module.tree.body)}
    for module in modules():
        if module.folder not in groups or module.name.endswith("/__init__.py"):
            continue
        stem = Path(module.name).stem
        passes = [node.name for node in module.tree.body if is_graph_pass(node) and isinstance(node, ast.FunctionDef)]
        public = [node.name for node in module.tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
        if passes and (passes != [stem] or public != [stem]):
            breaches.append(f"{module.name}: expected the one public function {stem}, found {', '.join(public)}")
        if not passes:
            users = [
                other.name
                for other in modules()
                if other is not module and any(imported.parts[:4] == module.dotted() for imported in imports_of(other))
            ]
            if len(users) < 2:
                breaches.append(
                    f"{module.name}: no technique, and used by {' '.join(users) or 'nobody'}: a helper used by one file lives in it"
                )
    fail_with("in passes/, one technique is one file with one public function of the same name:", breaches)


def test_passes_have_the_one_signature() -> None:
    breaches = []
    for module in modules():
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef) and is_graph_pass(node):
                where = f"{module.name}:{node.lineno}: {node.name}"
                positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
                if positional != ["graph", "ctx"] or node.args.vararg or node.args.kwarg:
                    breaches.append(f"{where} takes ({', '.join(positional)}), expected (graph, ctx, *, options)")
                if len(node.args.kwonlyargs) > MOST_PASS_OPTIONS:
                    breaches.append(f"{where} has {len(node.args.kwonlyargs)} options, at most {MOST_PASS_OPTIONS}")
                if module.name.count("/") != 2:
                    breaches.append(f"{where} stands outside the groups of passes/")
    fail_with("a pass is (graph, ctx, *, at most six options) -> Graph:", breaches)


def test_no_folder_is_a_drawer() -> None:
    folders = {
        path.relative_to(REPOSITORY)
        for file in tracked_files()
        for path in file.parents
        if path != REPOSITORY and REPOSITORY in path.parents
    }
    files = {file.relative_to(REPOSITORY) for file in tracked_files() if file.suffix == ".py"}
    breaches = [str(path) for path in sorted(folders | files) if path.stem in FORBIDDEN_FOLDERS]
    fail_with("a helper used by two earns a noun, not a drawer:", breaches)


def test_no_path_of_one_machine() -> None:
    breaches = []
    for path in tracked_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        name = path.relative_to(REPOSITORY)
        breaches += [f"{name}:{number}: {line.strip()[:100]}" for number, line in enumerate(lines, 1) if MACHINE_PATH.search(line)]
    fail_with("no tracked file knows the paths of one machine:", breaches)


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("ops/a.py", "from edgewright.ir.graph import Graph", "ir"),
        ("ops/a.py", "from ..lower import x", "lower"),
        ("passes/clean/a.py", "from ...lower import x", "lower"),
        ("cli.py", "import edgewright.pipeline as p", "pipeline"),
        ("cli.py", "from edgewright import pipeline", "pipeline"),
        ("cli.py", "import edgewright", "__init__"),
        ("cli.py", "import numpy.typing", None),
        ("__init__.py", "from . import errors", "errors"),
    ],
)
def test_the_reader_of_imports(name: str, source: str, expected: str | None) -> None:
    (imported,) = imports_of(Module(name, ast.parse(source), 1))
    assert room_of(imported) == expected
