"""The public names: the stub of the compiled module, and docstrings."""

import ast
import inspect
from pathlib import Path

import bptt_native as bn


def test_the_stub_names_what_the_module_has():
    stub = ast.parse((Path(bn.__file__).parent / "_core.pyi").read_text())
    core = bn._core

    def public(names):
        return {name for name in names if not name.startswith("_")}

    declared = {n.name: n for n in stub.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert public(declared) == public(vars(core))
    for name, node in declared.items():
        if isinstance(node, ast.ClassDef):
            members = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            assert public(members) == public(vars(getattr(core, name))), name


def test_public_names_are_documented():
    for name in bn.__all__:
        thing = getattr(bn, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(thing), name
        for method, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not method.startswith("_") and (
                inspect.isfunction(value) or isinstance(value, property)
            ):
                assert inspect.getdoc(value), f"{name}.{method}"
