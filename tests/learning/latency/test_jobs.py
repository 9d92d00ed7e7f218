"""The functions behind `rarrl profile` and the picture."""

from pathlib import Path

import pytest

from rarrl.errors import InputError
from rarrl.latency.profile import load_profile
from rarrl.latency.replay import ReplayTable
from rarrl_learning.latency.jobs import import_profile, show_profile
from rarrl_learning.latency.request_logs import COLUMNS


def test_show_gives_a_row_per_option_that_agrees_with_the_replay() -> None:
    rows = show_profile("groq-70b")
    costs = ReplayTable.from_profile(load_profile("groq-70b")).costs
    assert [(row.role, row.level) for row in rows] == [
        ("planner", 1),
        ("planner", 2),
        ("verifier", 1),
        ("verifier", 2),
    ]
    assert [row.mean_s for row in rows] == pytest.approx(list(costs.mean_s))
    assert [row.p95_s for row in rows] == pytest.approx(list(costs.p95_s))
    assert [row.ok_rate for row in rows] == pytest.approx(list(costs.ok_rate))
    assert all(row.p50_s <= row.p95_s <= row.p99_s and row.n == 150 for row in rows)


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_picture_is_drawn(tmp_path: Path, ending: str, magic: bytes) -> None:
    show_profile("gpt4o-mini-anchor", tmp_path / "new folder" / f"p.{ending}")
    data = (tmp_path / "new folder" / f"p.{ending}").read_bytes()
    assert data.startswith(magic) and len(data) > 10_000


def test_a_picture_of_another_kind_or_in_no_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not end in one of \.png, \.svg, \.pdf"):
        show_profile("groq-70b", tmp_path / "p.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        show_profile("groq-70b", tmp_path / "file" / "p.png")


def test_import_writes_what_it_returns_and_a_lone_bad_call_can_be_drawn(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(",".join(COLUMNS) + "\nMy Cloud,7b,0.0,0.0,550,9,\nMy Cloud,7b,0,0,550,1,500\n")
    result = import_profile(log, "My Cloud", "7b", tmp_path / "p.json", seed=1)
    assert result.profile.name == "my-cloud-7b"
    assert load_profile(tmp_path / "p.json") == result.profile
    assert "--provider 'My Cloud' --size 7b --seed 1" in result.profile.header.command
    show_profile(tmp_path / "p.json", tmp_path / "p.png")  # times of zero: no logarithm to be had


def test_a_refused_import_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        import_profile(tmp_path / "none.csv", "a", "7b", tmp_path / "p.json")
    assert list(tmp_path.iterdir()) == []
