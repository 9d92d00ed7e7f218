"""The `rarrl` command, and `python -m rarrl` where its script is not on PATH.

Where a package is missing or broken that the command line itself needs, `rarrl doctor` answers all the same."""

import sys
from pathlib import Path


def main() -> None:
    """The entry point of the `rarrl` command."""
    asked = sys.argv[1:2] == ["doctor"]
    try:
        from rarrl.cli import main as command_line
    except (ImportError, SystemError) as error:  # pydantic raises the latter beside another pydantic-core
        print(f"error: rarrl cannot start: {' '.join(str(error).split())}", file=sys.stderr)
        if not asked:
            sys.exit("`rarrl doctor` says what is missing or broken")
    else:
        if not asked or _core_is_there():
            command_line()
            return
    from rarrl.doctor import as_text, diagnose

    print(as_text(diagnose(Path.cwd())))
    sys.exit(1)


def _core_is_there() -> bool:
    """Whether the command line will get through: typer loads some of what it needs when it reads the arguments."""
    from rarrl.doctor import Status
    from rarrl.doctor.core import check_required
    from rarrl.doctor.trial import installed

    return check_required(installed).status is not Status.FAIL


if __name__ == "__main__":
    main()
