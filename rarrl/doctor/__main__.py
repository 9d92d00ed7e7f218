"""`python -m rarrl.doctor`: the same findings without any package but this one."""

import sys
from pathlib import Path

from rarrl.doctor import Status, as_text, diagnose

if __name__ == "__main__":
    checks = diagnose(Path.cwd())
    print(as_text(checks))
    sys.exit(any(check.status is Status.FAIL for check in checks))
