"""What a process says in which something was tried."""

import pytest

from rarrl.doctor import trial


def test_a_trial_says_why_it_failed():
    assert trial.try_python("print(1)", {}) == ""
    assert trial.try_python("import os; raise SystemExit(os.environ['WHY'])", {"WHY": "black"}) == "black"
    assert trial.try_python("import no_such_module\n", {}) == "ModuleNotFoundError: No module named 'no_such_module'"
    assert trial.try_python("import os; os.abort()", {}) == "it was ended by SIGABRT"


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("ImportError: numpy.core.multiarray failed to import", "numpy<2"),
        ("ValueError: numpy.dtype size changed, may indicate binary incompatibility", "numpy<2"),
        ("it was ended by SIGILL", "--no-binary x"),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", "libgl1"),
        ("OSError: libgomp.so.1: cannot open shared object file", "LD_LIBRARY_PATH"),
        ("ImportError: a.so: file too short", "--force-reinstall --no-deps x"),
    ],
)
def test_the_way_out_follows_from_the_reason(reason, says):
    assert says in trial.way_out(reason, "x")


def test_where_a_module_is():
    assert trial.place_of("json").endswith("json/__init__.py")
    assert trial.place_of("no_such_module") is None and trial.place_of("json.no.such") is None
