"""The few error classes that a program catches. A caller's mistake in plain values raises ValueError."""

MAX_MESSAGE = 2000
"""Characters of an error's message; a file's own words must not flood a terminal or a log."""


def plain_line(text: str, most: int = MAX_MESSAGE) -> str:
    """`text` on one line that a terminal shows as it is: other characters escaped, a long middle left out.

    >>> plain_line("key a\\nb \\x1b[2J")
    'key a b \\\\x1b[2J'
    """
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-most // 4 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else repr(c)[1:-1] for c in text)[:most]


class RarrlError(Exception):
    """Base of all errors that the command line reports in one line, whatever a file's own words in it hold."""

    def __init__(self, message: str = "") -> None:
        super().__init__(plain_line(message))


class InputError(RarrlError):
    """A file, folder, argument or parameter from outside is bad (exit status 2).

    The message is one line: what is wrong, where, what is allowed, and how to fix it."""


class DependencyMissingError(RarrlError):
    """An optional package is needed here; the message holds the pip line that installs it."""
