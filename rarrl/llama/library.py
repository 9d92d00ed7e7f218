"""llama.cpp's functions, as llama-cpp-python declares them."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from rarrl.errors import DependencyMissingError


def llama_library() -> ModuleType:
    """The module `llama_cpp.llama_cpp` alone. The package around it also loads a template engine, a cache on disk and
    a client of the Hugging Face hub: 8 MB and a tenth of a second in each process that runs a model.

    Raises: DependencyMissingError."""
    package = "llama_cpp"
    name = f"{package}.{package}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.find_spec(package)
    if found is None:
        raise DependencyMissingError("llama.cpp is not installed: pip install 'rarrl[llama]'")

    if package in sys.modules:
        return importlib.import_module(name)
    sys.modules[package] = importlib.util.module_from_spec(found)  # not run, so that nothing else is loaded
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[package]
