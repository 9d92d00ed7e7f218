from pathlib import Path
from typing import Any

from rarrl_learning.orchestrator.figures import PANELS, pareto


def row(success: float, seconds: float) -> dict[str, Any]:
    return {"success": success, "lo": success - 0.02, "hi": success + 0.02, "llm_seconds": seconds}


def test_the_pareto_picture_is_drawn(tmp_path: Path) -> None:
    table = {
        "learned_by_price": [row(0.9, 4.0), row(0.8, 1.0)],
        "rules": {"always": row(0.85, 5.0), "oracle": row(1, 1)},
    }
    pareto({"tables": dict.fromkeys(PANELS, table)}, tmp_path / "new" / "pareto.png")
    assert (tmp_path / "new" / "pareto.png").read_bytes().startswith(b"\x89PNG")
