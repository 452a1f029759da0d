"""Laws of the package as a whole: what it exports, what it ships, and which room may import which."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine.native._core

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("engine", "loaders", "train")  # each imports only from itself and those before it
# Only with --executor ray, and to make the vocabulary that the package ships.
BESIDE_THE_ENGINE = ("engine/executors/ray_tasks.py", "engine/tokenizers/data/make.py")
# Asked for only where a Hugging Face tokenizer is named; `tokenizers` itself brings huggingface_hub.
OPTIONAL = {"open_clip", "torch", "transformers", "huggingface_hub", "vllm"}
INSTALLED_AS = {"yaml": "PyYAML"}  # where the package is not named as its module
HEAVY = ("torch", "streaming", "composer", "torchvision", "open_clip")  # nothing in engine may load them


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm (binutils) is not installed")
def test_the_extension_exports_its_entry_and_nothing_else() -> None:
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", engine.native._core.__file__],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["PyInit__core"]


def test_type_information_is_beside_the_package() -> None:
    assert (ROOT / "engine/py.typed").exists()
    assert (ROOT / "engine/native/_core.pyi").exists()


def test_constraints_are_plain_lines_without_a_name_twice() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    names = [re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line) for line in lines)
    assert len(set(names)) == len(names)


def imported_modules(file: Path) -> Iterator[str]:
    """Names of all modules that a file imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def test_the_base_installation_is_what_the_engine_imports() -> None:
    declared = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    assert declared is not None
    imported = {
        name.split(".")[0]
        for file in sorted((ROOT / "engine").rglob("*.py"))
        if file.relative_to(ROOT).as_posix() not in BESIDE_THE_ENGINE
        for name in imported_modules(file)
    }
    wanted = imported - set(sys.stdlib_module_names) - {"engine"} - OPTIONAL
    names = {INSTALLED_AS.get(module, module) for module in wanted}
    assert set(re.findall(r'"([A-Za-z0-9_-]+)', declared[1])) == names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_itself_and_the_rooms_above(room: str) -> None:
    below = {*ROOMS[ROOMS.index(room) + 1 :], "benchmarks", "demo", "tests"}
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sorted((ROOT / room).rglob("*.py"))
        for name in imported_modules(file)
        if name.split(".")[0] in below
    ]
    assert wrong == []


def test_the_engine_imports_where_torch_and_its_like_cannot_be_imported() -> None:
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted((ROOT / "engine").rglob("*.py"))
        if file.name
        not in ("__main__.py", "ray_tasks.py")  # the Ray executor is loaded where Ray is installed
    ]
    program = (
        "import sys, importlib\n"
        f"sys.modules.update(dict.fromkeys({HEAVY!r}))\n"  # None in sys.modules makes the import fail
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
