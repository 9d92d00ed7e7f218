"""Writes the figures of benchmarks/results/*.json into README.md, between its markers.

python benchmarks/readme_tables.py            # rewrites README.md
python benchmarks/readme_tables.py --check    # exit status 1 where it would change
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rarrl.cli.show import figure_text
from rarrl.files import write_text_atomic

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def section(folder: Path) -> str:
    """The Markdown between the markers: a table per results file."""
    parts = [_results(path) for path in sorted(folder.glob("*.json"))]
    return "\n\n".join(parts) if parts else "No results yet."


def _results(path: Path) -> str:
    document = json.loads(path.read_text("utf-8"))
    machine = document["machine"]
    where = ", ".join(str(machine[key]) for key in ("processor", "cores") if machine.get(key))
    head = f"**{path.stem}** (`{document['command']}`, seed {document['seed']}, {document['date']}; {where} cores)"
    return f"{head}\n\n{_figures(document['figures'])}"


def _figures(figures: dict[str, Any]) -> str:
    lines = ["| figure | value [95 % interval] | n | unit |", "|---|---|---|---|"]
    for name, figure in figures.items():
        n = "" if figure.get("n") is None else figure["n"]
        lines.append(f"| `{name}` | {figure_text(figure)} | {n} | {figure['unit']} |")
    return "\n".join(lines)


def rewritten(readme: str, folder: Path) -> str:
    """`readme` with a fresh section. Raises: ValueError where the markers are missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{section(folder)}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 where README.md is stale")
    args = parser.parse_args()
    path = ROOT / "README.md"
    old = path.read_text("utf-8")
    new = rewritten(old, ROOT / "benchmarks" / "results")
    if args.check:
        if new != old:
            print("README.md is stale: python benchmarks/readme_tables.py", file=sys.stderr)
        return int(new != old)
    write_text_atomic(path, new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
