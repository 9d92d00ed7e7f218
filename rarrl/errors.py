"""The few error classes that a program catches. A caller's mistake in plain values raises ValueError."""


class RarrlError(Exception):
    """Base of all errors that the command line reports in one line."""


class InputError(RarrlError):
    """A file, folder, argument or parameter from outside is bad (exit status 2).

    The message is one line: what is wrong, where, what is allowed, and how to fix it."""


class DependencyMissingError(RarrlError):
    """An optional package is needed here; the message holds the pip line that installs it."""
