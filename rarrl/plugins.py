"""Tables of named parts that users may add to, and objects by their import path."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from rarrl.errors import InputError, RarrlError
from rarrl.secrets import hide_secrets
from rarrl.strict_json import short

T = TypeVar("T")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
MAX_REASON = 400
"""Characters of another program's error in a message of ours: a few lines of a terminal, whatever it wrote."""
USER_ERRORS = (Exception, SystemExit)
"""What a user's code may raise without ending the process: `sys.exit` in a plugin is a failure of the plugin."""


class Table(Generic[T]):
    """Name -> entry, in the order of registration. `what` begins messages, such as "rule".

    >>> table: Table[int] = Table("number")
    >>> table.register("one", 1)
    >>> table["one"], list(table), "two" in table
    (1, ['one'], False)
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> None:
        """Adds an entry.

        Raises: ValueError where the name is taken, or is more than small letters, digits and underscores: it must be
        told apart from a path, and stand before a colon."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{self._what}: {name!r} is no name (allowed: small letters, digits and _)")
        if name in self._entries:
            raise ValueError(f"{self._what}: {name!r} is registered already; choose another name")
        self._entries[name] = entry

    def unregister(self, name: str) -> None:
        """Takes an entry out again, as tests do. Raises: KeyError."""
        del self._entries[name]

    def __getitem__(self, name: str) -> T:
        """Raises: KeyError."""
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def values(self) -> Iterable[T]:
        """The entries."""
        return self._entries.values()


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: "" where nothing known looks like it, in small letters or capitals.

    >>> did_you_mean("LEANRED", ("learned", "never"))
    "; did you mean 'learned'?"
    """
    spelt = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), list(spelt), n=1)
    return f"; did you mean {spelt[close[0]]!r}?" if close else ""


def one_line(error: BaseException) -> str:
    """The type and text of an error that somebody else's code raised, on one line and at most MAX_REASON characters.

    >>> one_line(ValueError("two\\nlines")), one_line(SystemExit())
    ('ValueError: two lines', 'SystemExit')
    """
    try:
        text = hide_secrets(" ".join(str(error).split()))
    except USER_ERRORS:  # a user's error class has a __str__ of its own
        text = ""
    kind = type(error).__name__
    return f"{kind}: {text}"[:MAX_REASON] if text else kind


def is_import_path(text: str) -> bool:
    """Whether `text` has the form of an import path.

    >>> is_import_path("my_robot.policy:MyPolicy"), is_import_path("runs/policy"), is_import_path("llama:a.gguf")
    (True, False, True)
    """
    return _IMPORT_PATH.fullmatch(text) is not None


def import_object(path: str, what: str, known: Iterable[str] = ()) -> Any:
    """The object `package.module:name`. Importing runs the module's code: `path` comes from the operator.

    Args:
        path: the import path; its form is checked by `is_import_path`.
        what: begins the message of an error.
        known: names that may have been meant instead of the module's.

    Raises: InputError where there is no such module or name, or the module fails when it is imported."""
    module_name, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except USER_ERRORS as error:  # a user's module may raise anything
        raise InputError(
            f"{what}: {short(path)}: the module {module_name} cannot be imported ({one_line(error)}); install its "
            f"package, or put its folder on PYTHONPATH{did_you_mean(module_name, known)}"
        ) from error
    for part in name.split("."):
        if not _has(found, part, path, what):
            known = [each for each in dir(found) if not each.startswith("_")]
            raise InputError(f"{what}: {short(path)}: {module_name} has no {part}{did_you_mean(part, known)}")
        found = getattr(found, part)
    return found


def _has(found: Any, name: str, path: str, what: str) -> bool:
    """Whether `found` has the attribute `name`. Raises: InputError where a user's property raises another error."""
    try:
        return hasattr(found, name)
    except USER_ERRORS as error:
        raise InputError(f"{what}: {short(path)}: reading {name} failed ({one_line(error)}); mend it") from error


def make_by_path(path: str, what: str, needs: Iterable[str] = (), known: Iterable[str] = ()) -> Any:
    """What the class or function `package.module:name` returns, called without arguments.

    Args:
        path, what, known: as of `import_object`.
        needs: names of the attributes that the result must have.

    Raises: InputError as `import_object`, where the call fails, or something is missing."""
    found = import_object(path, what, known)
    if not callable(found):
        kind = type(found).__name__
        raise InputError(f"{what}: {short(path)} is a {kind}; name a class, or a function that makes one")
    try:
        made = found()
    except RarrlError:
        raise
    except USER_ERRORS as error:  # a user's class may raise anything
        raise InputError(
            f"{what}: {short(path)}: called without arguments it failed ({one_line(error)}); mend it, or name a "
            "function that makes it with its arguments"
        ) from error
    missing = [name for name in needs if not _has(made, name, path, what)]
    if missing:
        raise InputError(f"{what}: {short(path)} makes a {type(made).__name__}, which has no {', '.join(missing)}")
    return made
