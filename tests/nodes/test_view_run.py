"""The view beside a graph that a command starts: a process of its own."""

import os
import re
import urllib.error
import urllib.request

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from rarrl_nodes.view_run import viewing_graph


def test_it_says_where_it_is_and_ends_with_the_block(ear):
    said = []
    with viewing_graph(os.environ, said.append):
        assert ear.until(lambda: any(line.startswith("view: ") for line in said), 120)
        line = next(line for line in said if line.startswith("view: "))  # ROS may have said something before
        url = re.fullmatch(r"view: (http://127\.0\.0\.1:\d+/\?token=\S+)", line)[1]
        with urllib.request.urlopen(url, timeout=30) as page:
            assert b"<title>rarrl view</title>" in page.read()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_the_block_goes_on_where_the_view_cannot_start(ear):
    said = []
    with viewing_graph({**os.environ, "ROS_DOMAIN_ID": "none"}, said.append, port=1):
        assert ear.until(lambda: said, 120)
    assert said
