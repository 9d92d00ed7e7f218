"""The page in a headless Chromium: what stands in it, what its canvases hold, and what its buttons do."""

import importlib.util
import json
from dataclasses import replace

import browser
import pytest
from browser import Browser
from view_fixtures import STORY, Circle

from rarrl.view.server import viewing

pytestmark = [
    pytest.mark.skipif(browser.find() is None, reason="no Chromium: apt install chromium-headless-shell"),
    pytest.mark.skipif(
        importlib.util.find_spec("websockets") is None, reason="websockets is missing: pip install 'rarrl[serve]'"
    ),
]
READY = "typeof seen !== 'undefined' && seen.moment !== null && seen.camera !== null && picture !== null"
INK = """(() => {{
  const c = document.getElementById({name}), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  const found = new Set();
  for (let i = 0; i < d.length; i += 4) if (d[i + 3]) found.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
  return found.size; }})()"""
"""How many colours a canvas shows."""


@pytest.fixture
def page(tmp_path):
    """(browser, robot, server) with the page open and filled."""
    robot = Circle()
    with viewing(robot) as server, Browser(browser.find(), tmp_path / "profile") as opened:
        opened.open(server.url)
        opened.until(READY, 60)
        yield opened, robot, server


def pressed(page, name):
    page.value(f"document.getElementById({json.dumps(name)}).click()")


def test_the_page_tells_what_the_robot_does_and_why(page):
    opened, _, _ = page
    opened.until("document.querySelectorAll('#steps li').length === 3")
    assert opened.text("goal") == "Put a clean mug on the shelf"
    assert opened.text("status") == "acting" and "a robot in a test" in opened.text("source")

    steps = opened.value("[...document.querySelectorAll('#steps li')].map(e => [e.textContent, e.className])")
    assert steps == [["Go to sink", "done"], ["Clean mug", "now"], ["Put mug → shelf", "next"]]
    assert opened.text("plan-sure").endswith("93 % sure")
    assert opened.value("document.querySelector('#beliefs li').innerText").split("\n") == ["mug: sink", "87 %"]

    assert (opened.text("time-left"), opened.text("time-budget")) == ("17.0", "of 20.0 s")
    assert (opened.text("tokens-left"), opened.text("token-budget")) == ("5,800", "of 6,000")
    assert opened.value("document.getElementById('time-meter').value") == pytest.approx(0.85)
    assert "verifier (level 2, 1.0 s, 80 tokens): ok" in opened.text("answer")

    assert opened.text("choice") == "ACT" and opened.text("why") == STORY.reason.why
    rows = opened.value(
        "[...document.querySelectorAll('#options tr')].map(r => [r.className, ...[...r.cells].map(c => c.textContent)])"
    )
    assert rows == [
        ["chosen", "ACT", "", "81 %", "0.0", "0", "0.000"],
        ["", "THINK(planner, 1)", "", "15 %", "2.1", "121", "0.126"],
        ["barred", "THINK(planner, 2)", "", "barred", "4.2", "240", "0.252"],
    ]
    assert "expects 0.74" in opened.text("value")
    assert opened.text("gate") == "Gate LIMITED" and "obstacle ahead, free for 0.40 m" in opened.text("gate-why")
    assert "100 voxels hold something, the nearest at 0.5" in opened.text("camera-caption")
    assert "holds mug" in opened.text("clock")
    assert opened.errors == []


def test_canvases_are_drawn_and_say_so_to_those_who_do_not_see_them(page):
    opened, _, _ = page
    opened.until("document.getElementById('bars').ariaLabel.includes('2 calls')")
    for name in ("camera", "map", "bars"):
        assert opened.value(INK.format(name=json.dumps(name))) > 10, f"{name} is empty"
    labels = opened.value("[...document.querySelectorAll('canvas')].map(c => c.getAttribute('aria-label'))")
    assert "2 people, gate LIMITED" in labels[1] and "2 attempts" in labels[2]

    # Without voxels the picture alone is left.
    colours = opened.value(INK.format(name='"camera"'))
    pressed(opened, "with-voxels")
    opened.until(f"{INK.format(name=json.dumps('camera'))} < {colours}")


def test_it_follows_the_robot_ten_times_a_second(page):
    opened, _, _ = page
    opened.value("window.times = []; stream.addEventListener('moment', e => times.push(JSON.parse(e.data).t_s))")
    opened.until("times.length >= 30", 60)
    shown = opened.value("times")
    assert shown == sorted(shown) and len(set(shown)) == len(shown)
    assert len(shown) - 1 <= 10.5 * (shown[-1] - shown[0]) + 1, "more than 10 Hz"
    x = opened.value("document.getElementById('map').getAttribute('aria-label')")
    opened.until(f"document.getElementById('map').getAttribute('aria-label') !== {json.dumps(x)}")
    assert opened.text("link") == "live"


def test_the_buttons_reach_the_robot_and_its_refusal_is_told(page):
    opened, robot, _ = page
    opened.until("!document.getElementById('pause').disabled")
    pressed(opened, "pause")
    opened.until("document.getElementById('pause').textContent === 'Go on'")
    assert robot.paused
    opened.until("document.getElementById('link').textContent === 'paused'")
    pressed(opened, "pause")
    opened.until("document.getElementById('pause').textContent === 'Pause'")
    assert not robot.paused

    pressed(opened, "think")
    pressed(opened, "think")
    opened.until("document.getElementById('said').textContent === 'the budget does not allow a call'")
    assert robot.thinks == 2


def test_what_others_wrote_is_text_and_no_markup(page):
    opened, robot, _ = page
    robot.story = replace(STORY, goal="<img src=x onerror=alert(1)><b>mug</b>")
    opened.until("document.getElementById('goal').textContent.includes('<b>mug</b>')")
    assert opened.value("document.querySelectorAll('#goal *').length") == 0
    assert opened.errors == []


def test_a_robot_that_goes_away_is_told(tmp_path):
    robot = Circle()
    with Browser(browser.find(), tmp_path / "profile") as opened:
        with viewing(robot) as server:
            opened.open(server.url)
            opened.until(READY, 60)
        opened.until("document.getElementById('link').textContent === 'no connection'")


def test_dark_and_narrow_screens(tmp_path):
    with viewing(Circle()) as server, Browser(browser.find(), tmp_path / "profile", 390, 844, dark=True) as opened:
        opened.open(server.url)
        opened.until(READY, 60)
        assert opened.value("document.documentElement.scrollWidth") <= 390, "the page scrolls sideways"
        ground = opened.value("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(20, 23, 26)"
        columns = opened.value("getComputedStyle(document.querySelector('main')).gridTemplateColumns.split(' ').length")
        assert columns == 1
