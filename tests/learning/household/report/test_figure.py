"""The report of missions: figures by hand, what is kept, text from outside, pictures, film and recording."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from rarrl.errors import DependencyMissingError, InputError
from rarrl_learning.household.report import film, recording
from rarrl_learning.household.report.figure import HEAD, budget_curve, figures_of, render, seen, shown_seed
from rarrl_learning.household.report.film import frames, gif
from rarrl_learning.household.report.page import read_missions, save_missions, write_mission_report
from rarrl_learning.household.report.trace import (
    HomePlan,
    MissionResult,
    Played,
    Trace,
    TracedDecision,
    load_trace,
    save_trace,
)

PLAN = "PickupObject(mug); PutObject(mug, shelf)"


def result(policy="learned", seed=3, success=True, **values):
    chosen = {"goal": "Put the mug on the shelf.", "share": 1.0 if success else 0.5, "mission_s": 40.0, "llm_s": 2.0}
    chosen |= {
        "tokens": 300.0,
        "calls": 1,
        "collisions": 0,
        "gate_stops": 2,
        "end_reason": "done" if success else "late",
    }
    return MissionResult(policy, seed, success=success, **(chosen | values))


def trace(policy="learned", seed=3, n=60, pictures=True, goal="Put the mug on the shelf."):
    """A drive of n steps along y = 2, with a call from 1 to 3 s and two stops of the gate, in a home with a shelf."""
    t = 0.1 * np.arange(1, n + 1)
    x = np.linspace(1.0, 4.0, n)
    picture = cv2.imencode(".jpg", np.full((240, 320, 3), (200, 30, 30), np.uint8))[1].tobytes()
    rows = tuple(range(0, n, 4)) if pictures else ()
    gate = tuple("STOP" if i in (10, 11, 12, 40) else "PASS" for i in range(n))
    home = HomePlan(
        (8.0, 4.0),
        np.array([[-0.1, -0.1, 8.1, 0.0], [-0.1, 4.0, 8.1, 4.1]]),
        np.array([[6.0, 1.5, 7.0, 2.5], [1.0, 3.0, 2.0, 4.0]]),
        ("shelf", "sinkbasin"),
        np.array([3.9, 1.0, 4.1, 2.0]),
        {"sinkbasin": "sink"},
    )
    return Trace(
        policy=policy,
        seed=seed,
        goal=goal,
        home=home,
        time_budget_s=10.0,
        token_budget=1000.0,
        range_m=4.0,
        bearings=np.array([-0.3, 0.0, 0.3]),
        t_s=t,
        pose=np.stack([x, np.full(n, 2.0), np.zeros(n)], axis=1),
        speed=np.full((n, 2), 0.3),
        people=np.full((n, 1, 2), 3.0),
        door_open=np.ones(n, bool),
        gate=gate,
        gate_reason=tuple("blocked" if g == "STOP" else "" for g in gate),
        clear_m=np.stack([np.full(n, 1.0), 6.0 - x, np.full(n, 4.0)], axis=1).clip(max=4.0),
        subgoal=("GotoLocation shelf",) * (n // 2) + ("PutObject mug shelf",) * (n - n // 2),
        target=np.full((n, 2), (6.5, 2.0)),
        held=("mug",) * n,
        decisions=(
            TracedDecision(0.0, 1.0, "act", "FAILURE", "GotoLocation", seconds=1.0, time_left_s=10, tokens_left=1000),
            TracedDecision(
                1.0, 3.0, "think", "OK", "", "planner", 1, 300.0, 2.0, time_left_s=8.0, tokens_left=700.0, answer=PLAN
            ),
            TracedDecision(3.0, 6.0, "act", "SUCCESS", "PutObject", seconds=3.0, time_left_s=8, tokens_left=700),
        ),
        pictures=(picture,) * len(rows),
        picture_steps=np.array(rows, dtype=np.int64),
    )


def played(policy, seed=3, success=True, pictures=False, **values):
    own = trace(policy, seed, pictures=pictures)
    return Played(result(policy, seed, success, **values), tuple(d for d in own.decisions if d.action == "think"), own)


def test_figures_are_means_and_sums_per_policy():
    rows = figures_of([result("a", 1), result("a", 2, False, llm_s=4.0, collisions=1), result("b", 1)])
    first, second = rows
    assert (first.policy, first.done, first.n, first.share, first.llm_s) == ("a", 1, 2, 0.75, 3.0)
    assert (first.collisions, first.gate_stops, second.done) == (1, 4, 1)
    assert first.low < 0.5 < first.high
    assert len(first.row()) == len(HEAD) and first.row()[1] == "1 of 2"


def test_the_shown_mission_is_one_that_tells_the_policies_apart():
    same = [result("a", 1), result("b", 1), result("a", 2), result("b", 2, False)]
    assert shown_seed(same)[0] == 2
    quiet = [result("a", 1, calls=0), result("b", 1, calls=0), result("a", 2, calls=0), result("b", 2, calls=3)]
    assert shown_seed(quiet) == (2, "the first with a call of the language model")
    assert shown_seed([result("a", 1), result("a", 2, False), result("b", 1)])[0] == 1  # b has not played the second


def test_stops_that_touch_are_one():
    assert [(round(t0, 1), round(t1, 1)) for t0, t1, _ in trace().stops()] == [(1.1, 1.3), (4.1, 4.1)]


def test_the_budget_falls_during_calls():
    times, left = budget_curve(trace())
    assert times == [0.0, 1.0, 3.0, 6.0] and left == [10.0, 10.0, 8.0, 8.0]


def test_what_was_seen_leaves_people_out():
    wedges, cells = seen(trace())
    assert len(wedges) == 20 and wedges[0].shape == (4, 2)
    assert (60, 20) in {tuple(c) for c in cells.tolist()}  # the shelf's front at x = 6, hit again and again
    near = replace(trace(), people=np.full((60, 1, 2), (6.0, 2.0)))
    assert (60, 20) not in {tuple(c) for c in seen(near)[1].tolist()}


def test_a_trace_is_kept_whole(tmp_path):
    save_trace(tmp_path / "t.npz", trace())
    back, own = load_trace(tmp_path / "t.npz"), trace()
    assert back.decisions == own.decisions and back.pictures == own.pictures and back.gate == own.gate
    assert np.array_equal(back.pose, own.pose) and np.array_equal(back.home.walls, own.home.walls)
    assert back.home.words == own.home.words and back.duration_s == own.duration_s
    assert back.picture(0).shape == (240, 320, 3) and abs(int(back.picture(0)[0, 0, 2]) - 200) < 5  # RGB


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04 but no archive"])
def test_another_file_is_no_trace(tmp_path, data):
    (tmp_path / "t.npz").write_bytes(data)
    with pytest.raises(InputError, match=r"mission trace: .*none of ours"):
        load_trace(tmp_path / "t.npz")


def test_the_picture_shows_every_policy():
    runs = [played("never", success=False), played("learned")]
    picture = render([p.trace for p in runs], [p.result for p in runs])
    with Image.open(io.BytesIO(picture)) as image:
        assert image.width == 1404 and image.height > 600
    text = render([p.trace for p in runs], [p.result for p in runs], "svg").decode()
    assert text.startswith("<?xml")


def test_no_mission_at_all_is_a_picture_of_the_table():
    assert render([], [result()])[:4] == b"\x89PNG"


def test_the_film_is_small_and_ends_with_the_outcome(monkeypatch):
    data = gif(trace(), result())
    assert len(data) < film.MOST_BYTES
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 17 and image.is_animated  # 6 s, every 0.4 s, and the end
        image.seek(image.n_frames - 1)
        assert image.info["duration"] == film.END_MS
    whole = len(gif(trace(), result(), most_bytes=10_000_000))
    assert len(gif(trace(), result(), most_bytes=whole - 1)) < whole


def test_the_film_tells_what_it_does():
    shown = list(frames(trace(), result()))
    still = list(frames(trace(pictures=False), None))
    assert {f.shape for f in shown} == {shown[0].shape} == {f.shape for f in still} and shown[0].dtype == np.uint8
    assert not np.array_equal(shown[2], shown[4])  # acts, thinks
    red = np.all(shown[0] == shown[0][100, 600], axis=-1)[44:284, 472:792]
    assert red.mean() > 0.95  # the left eye's picture is there


def test_a_report_of_a_folder(tmp_path):
    save_missions(tmp_path, [played("never", success=False), played("learned", pictures=True)])
    report = write_mission_report(tmp_path, ["a note & more"])
    page = report.html.read_text("utf-8")
    assert report.png.exists() and report.gif is not None and report.gif.stat().st_size < 3_000_000
    assert PLAN in page and "a note &amp; more" in page and "data:image/gif" in page
    assert "<script" not in page and "http" not in page
    again = read_missions(tmp_path)
    assert [p.result.policy for p in again] == ["never", "learned"] and again[1].thoughts[0].answer == PLAN


def test_text_from_outside_stays_text(tmp_path):
    save_missions(tmp_path, [played("<b>x</b>", goal="<img src=x>", success=False, end_reason="<i>late</i>")])
    page = write_mission_report(tmp_path).html.read_text("utf-8")
    assert "<img src=x>" not in page and "<b>x" not in page and "<i>late" not in page


def test_without_pictures_there_is_no_film(tmp_path):
    save_missions(tmp_path, [played("never")])
    assert write_mission_report(tmp_path).gif is None and not (tmp_path / "mission.gif").exists()


def test_only_the_shown_mission_keeps_its_trace(tmp_path):
    save_missions(tmp_path, [played("never", 1), played("never", 2)])
    assert [path.name for path in tmp_path.glob("*.npz")] == ["trace_never_1.npz"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "rarrl missions 1", "missions": [{}]}'])
def test_another_file_is_no_list_of_missions(tmp_path, text):
    (tmp_path / "missions.json").write_text(text)
    with pytest.raises(InputError, match=r"missions: .*none of ours"):
        read_missions(tmp_path)


def test_no_missions_are_no_report(tmp_path):
    (tmp_path / "missions.json").write_text('{"format": "rarrl missions 1", "missions": []}')
    with pytest.raises(InputError, match="holds none"):
        write_mission_report(tmp_path)


def test_a_recording_for_rerun(tmp_path):
    pytest.importorskip("rerun")
    recording.write_recording(tmp_path / "m.rrd", trace())
    assert (tmp_path / "m.rrd").read_bytes().startswith(b"RRF")


def test_without_rerun_a_report_and_no_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "find_spec", lambda name: None)
    save_missions(tmp_path, [played("never")])
    assert write_mission_report(tmp_path).recording is None
    with pytest.raises(DependencyMissingError, match=r"rarrl\[view\]"):
        recording.write_recording(tmp_path / "m.rrd", trace())
