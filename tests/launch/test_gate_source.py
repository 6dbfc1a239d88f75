"""The launch gate as one script."""

import ast
from collections import Counter

from acp_bridge.launch.gate_source import gate_source

ALLOWED_TWICE = {"TYPE_CHECKING"}


def top_level_names(tree: ast.Module) -> Counter[str]:
    names: Counter[str] = Counter()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[node.name] += 1
        if isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names


def test_no_part_takes_a_name_of_another() -> None:
    names = top_level_names(ast.parse(gate_source({})))

    assert {name for name, times in names.items() if times > 1} <= ALLOWED_TWICE
    assert {"split_arguments", "tap", "main"} <= names.keys()


def test_the_script_imports_nothing_of_the_package() -> None:
    imported = {
        node.module
        for node in ast.walk(ast.parse(gate_source({})))
        if isinstance(node, ast.ImportFrom)
    }

    assert imported <= {"__future__", "collections.abc", "typing"}
