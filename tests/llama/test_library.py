"""llama.cpp's functions without the package around them."""

import subprocess
import sys

import pytest

pytest.importorskip("llama_cpp")

CODE = """
import sys
from rarrl.llama.library import llama_library

library = llama_library()
assert library.llama_model_default_params and library is llama_library()
assert not {"jinja2", "diskcache", "llama_cpp"} & set(sys.modules)

import llama_cpp  # the whole of it goes on from there

assert llama_cpp.Llama and llama_cpp.llama_cpp is library is llama_library()
"""


def test_the_functions_come_without_the_package_and_the_package_can_follow():
    subprocess.run([sys.executable, "-c", CODE], check=True)


def test_without_llama_cpp_the_error_says_what_to_install(monkeypatch):
    from rarrl.errors import DependencyMissingError
    from rarrl.llama import library

    monkeypatch.delitem(sys.modules, "llama_cpp.llama_cpp", raising=False)
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyMissingError, match="rarrl\\[llama\\]"):
        library.llama_library()
