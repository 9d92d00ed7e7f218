"""The report: figures by hand, interrupted runs, text from outside, and that a picture comes out."""

import re

import pytest

from rarrl.errors import InputError
from rarrl.events import ActEvent, EndEvent, EpisodeEvent, EventWriter, RunEvent, ShockEvent, ThinkEvent
from rarrl.report import write_report
from rarrl.report.figure import budget_curve, table_row
from rarrl.report.runs import figures_of, read_run, read_runs, shown_episode, wilson


def run_event(policy="never"):
    return RunEvent(
        policy=policy, profile="groq-70b", seed=0, speed=1.0, date="2026-01-01T00:00:00+00:00", source="in_process"
    )


def episode(number, t=0.0, success=True, calls=1, goal="put the mug away", why="after a failure", shock=False):
    """An attempt that fails, `calls` calls of 2 s, an attempt that ends it. Takes 2 + 2 calls s."""
    lines = [
        EpisodeEvent(
            episode=number,
            category="Delivery",
            task_type="pick_and_place_simple",
            goal=goal,
            subgoals=("GotoLocation", "PutObject"),
            time_budget_s=10.0,
            token_budget=1000.0,
            horizon=5,
            t=t,
        ),
        act(number, 1, t, t + 1.0, "GotoLocation", 0, "FAILURE", why),
    ]
    for call in range(calls):
        t0 = t + 1.0 + 2.0 * call
        lines.append(
            ThinkEvent(
                episode=number,
                decision=2 + call,
                t0=t0,
                t1=t0 + 2.0,
                role="planner",
                level=1 + call % 2,
                status="OK" if call % 2 == 0 else "TIMEOUT",
                tokens=300.0,
                time_left_s=max(8.0 - 2.0 * call, 0.0),
                tokens_left=max(700.0 - 300.0 * call, 0.0),
                why=why,
            )
        )
    end = t + 2.0 + 2.0 * calls
    if shock:
        lines.append(ShockEvent(episode=number, t=end - 1.0, time_left_s=1.0, tokens_left=50.0))
    lines.append(act(number, 9, end - 1.0, end, "PutObject", 1, "SUCCESS" if success else "LOST", why))
    lines.append(
        EndEvent(
            episode=number,
            t=end,
            success=success,
            lost=not success,
            llm_seconds=2.0 * calls,
            tokens=300.0 * calls,
            calls=calls,
            acts=2,
            deadline_misses=calls // 2,
        )
    )
    return lines


def act(number, decision, t0, t1, subgoal, index, status, why):
    return ActEvent(
        episode=number,
        decision=decision,
        t0=t0,
        t1=t1,
        subgoal=subgoal,
        subgoal_index=index,
        status=status,
        subgoal_done=status == "SUCCESS",
        why=why,
    )


def write(folder, policy, *episodes):
    with EventWriter(folder, run_event(policy)) as log:
        for lines in episodes:
            for line in lines:
                log(line)
    return folder


def test_figures_by_hand(tmp_path):
    run = read_run(write(tmp_path, "always", episode(0, calls=1), episode(1, t=10.0, calls=3, success=False)))
    figures = figures_of(run)
    assert (figures.n, figures.success, figures.llm_seconds, figures.tokens, figures.calls) == (2, 0.5, 4.0, 600.0, 2.0)
    assert (figures.misses, figures.lost) == (1, 1)
    assert table_row(figures)[1] == "1 of 2 (50 %)"


@pytest.mark.parametrize(("k", "n", "low", "high"), [(0, 20, 0.0, 0.161), (20, 20, 0.839, 1.0), (10, 20, 0.299, 0.701)])
def test_wilson_against_published_values(k, n, low, high):
    assert wilson(k, n) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_the_shown_episode_is_one_whose_outcome_differs(tmp_path):
    a = read_run(write(tmp_path / "a", "a", episode(0), episode(1, success=False), episode(2)))
    b = read_run(write(tmp_path / "b", "b", episode(0), episode(1), episode(2, success=False)))
    assert shown_episode([a, b])[0] == 1
    assert shown_episode([a])[0] == 0
    empty = read_run(write(tmp_path / "c", "c"))
    assert shown_episode([a, empty]) is None


def test_budget_falls_during_calls_and_jumps_at_a_shock(tmp_path):
    run = read_run(write(tmp_path, "x", episode(0, t=5.0, calls=1, shock=True)))
    assert budget_curve(run.episodes[0], "time") == ([0.0, 1.0, 3.0, 3.0, 3.0, 4.0], [10.0, 10.0, 8.0, 8.0, 1.0, 1.0])


def test_report_is_a_picture_and_one_file_without_network(tmp_path):
    write(tmp_path / "1_never", "never", episode(0, calls=0, success=False), episode(1, t=9.0, calls=0))
    write(tmp_path / "2_always", "always", episode(0, calls=4, shock=True), episode(1, t=12.0, calls=2))
    report = write_report(tmp_path, ["always", "never"], ["a note"])
    assert [run.policy for run in report.runs] == ["always", "never"]
    assert report.png.read_bytes().startswith(b"\x89PNG")
    html = report.html.read_text("utf-8")
    assert "THINK(planner, 1)" in html and "after a failure" in html and "a note" in html and "budget cut" in html
    assert not re.search(r"<script|https?://|<link", html)
    assert html.count("data:image/png;base64") == 1
    (tmp_path / "perception.png").write_bytes(report.png.read_bytes())
    assert write_report(tmp_path).html.read_text("utf-8").count("data:image/png;base64") == 2


def test_text_from_outside_stays_text(tmp_path):
    nasty = "<script>alert(1)</script> $\\frac{1}$ _{x} é 漢 " + "long " * 100
    write(tmp_path, "p" * 300 + "<b>$x^", episode(0, goal=nasty, why=nasty))
    html = write_report(tmp_path).html.read_text("utf-8")
    assert "<script" not in html and "<b>$" not in html


def test_a_killed_run_is_shown_as_far_as_it_got(tmp_path):
    folder = write(tmp_path / "1", "never", episode(0, calls=0), episode(1, t=9.0, calls=1)[:-2])
    with (folder / "events.jsonl").open("a") as stream:
        stream.write('{"type": "act", "epi')
    write(tmp_path / "2", "always", episode(0))
    report = write_report(tmp_path)
    assert [len(run.episodes) for run in report.runs] == [1, 1]
    assert "cut off" in report.runs[0].note and "episode 1 has no end" in report.runs[0].note
    assert "cut off" in report.html.read_text("utf-8")


def test_a_run_without_episodes_still_gives_a_report(tmp_path):
    report = write_report(write(tmp_path, "never"))
    assert report.png.exists() and "no episode" in report.html.read_text("utf-8")


def test_long_episodes_and_many_policies_fit(tmp_path):
    for index in range(8):
        write(tmp_path / f"{index}", f"policy_{index}", episode(0, calls=30 * index, success=index > 3))
    assert write_report(tmp_path).png.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: None, "does not exist"),
        (lambda folder: folder.mkdir(), "no events.jsonl"),
        (lambda folder: [write(folder / f"{i}", "never") for i in range(9)], "at most 8"),
        (lambda folder: (folder.mkdir(), (folder / "events.jsonl").write_text("nonsense\n{}\n")), "line 1"),
        (lambda folder: (folder.mkdir(), (folder / "events.jsonl").write_bytes(b"\x00\xff")), "line 1"),
    ],
)
def test_bad_runs_are_refused_in_one_line(tmp_path, make, told):
    make(tmp_path / "run")
    with pytest.raises(InputError, match=told) as error:
        write_report(tmp_path / "run")
    assert "\n" not in str(error.value)


def test_read_runs_takes_a_file_a_folder_or_a_folder_of_folders(tmp_path):
    folder = write(tmp_path / "1", "never", episode(0))
    for path in (tmp_path, folder, folder / "events.jsonl"):
        assert [run.policy for run in read_runs(path)] == ["never"]
