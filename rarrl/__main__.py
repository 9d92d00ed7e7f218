"""The `rarrl` command, and `python -m rarrl` where its script is not on PATH.

Where a package is missing or broken that the command line itself needs, `rarrl doctor` answers all the same."""

import sys
from pathlib import Path


def main() -> None:
    """The entry point of the `rarrl` command."""
    from rarrl.doctor import Status, as_text, diagnose
    from rarrl.doctor.core import check_required
    from rarrl.doctor.trial import installed

    asked = sys.argv[1:2] == ["doctor"]
    try:
        from rarrl.cli import main as command_line
    except (ImportError, SystemError) as error:  # pydantic raises the latter beside another pydantic-core
        print(f"error: rarrl cannot start: {' '.join(str(error).split())}", file=sys.stderr)
        broken = True
    else:
        broken = asked and check_required(installed).status is Status.FAIL  # typer may load, and fail later
    if not broken:
        command_line()
        return

    if not asked:
        sys.exit("`rarrl doctor` says what is missing or broken")
    print(as_text(diagnose(Path.cwd())))
    sys.exit(1)


if __name__ == "__main__":
    main()
