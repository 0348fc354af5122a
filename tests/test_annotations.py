"""`py.typed` is true: what is public is annotated, argument by argument."""

import importlib
import inspect
import pkgutil

import pytest

import keras_lru
from keras_lru import backend, ops

from .test_package import PUBLIC

INNER = [
    f"{package.__name__}.{module.name}"
    for package in (ops, backend)
    for module in pkgutil.iter_modules(package.__path__)
    # The one that this process runs is imported already.
    if package is ops or module.name not in ("jax", "tensorflow", "torch")
]


def functions_of(module):
    """`{name: function}`: functions, and constructors and methods of classes."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value) and not issubclass(value, tuple):
            for member, method in vars(value).items():
                own = member == "__init__" or not member.startswith("_")
                if own and inspect.isfunction(method):
                    yield f"{name}.{member}", method


def unannotated(function, needs_return):
    parameters = inspect.signature(function).parameters.values()
    missing = [
        p.name
        for p in parameters
        if p.annotation is p.empty and p.name not in ("self", "cls")
    ]
    if needs_return and inspect.signature(function).return_annotation is inspect._empty:
        missing.append("return")
    return missing


@pytest.mark.parametrize("module", INNER)
def test_ops_and_backend_are_annotated(module):
    missing = {
        name: names
        for name, function in functions_of(importlib.import_module(module))
        if (names := unannotated(function, not name.endswith("__init__")))
    }
    assert not missing


@pytest.mark.parametrize("module", PUBLIC)
def test_arguments_of_public_names_are_annotated(module):
    exposed = importlib.import_module(module)
    missing = {}
    for name in PUBLIC[module]:
        value = getattr(exposed, name)
        if inspect.isclass(value) and "__init__" in vars(value):
            value = vars(value)["__init__"]
        if inspect.isfunction(value) and (names := unannotated(value, False)):
            missing[name] = names
    assert not missing


def test_types_are_said_to_be_there():
    assert importlib.resources.files(keras_lru).joinpath("py.typed").is_file()
