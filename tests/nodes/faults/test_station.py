"""Graphs of the campaign: never in a robot's domain, and one at a time."""

import itertools
import os
import socket
from contextlib import contextmanager

import pytest

from rarrl.errors import RarrlError
from rarrl_nodes.faults import station
from rarrl_nodes.faults.station import Stage, Station, own_domain
from rarrl_nodes.processes import SAFE_DOMAINS


def test_a_graph_is_never_in_the_domain_of_the_environment(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    monkeypatch.setattr(station, "is_empty", lambda domain: True)
    before = dict(os.environ)
    seen = set()
    for _ in range(2 * SAFE_DOMAINS):
        with own_domain() as domain:
            seen.add(domain)
            assert os.environ["ROS_DOMAIN_ID"] == str(domain)
            assert os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST" or os.environ["ROS_LOCALHOST_ONLY"]
    assert seen == set(range(1, SAFE_DOMAINS + 1)) - {7}
    assert dict(os.environ) == before


def test_a_graph_is_never_where_somebody_elses_nodes_listen(monkeypatch):
    with own_domain() as domain:
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 7400 + 250 * domain + 12))  # the second participant
        assert not station.is_empty(domain)
        monkeypatch.setattr(station, "_NUMBERS", itertools.count(domain - 1))
        with own_domain() as another:
            assert another != domain
    assert station.is_empty(domain)


def test_the_environment_comes_back_after_an_error():
    before = dict(os.environ)
    with pytest.raises(KeyError), own_domain(shared_memory=True):
        raise KeyError
    assert dict(os.environ) == before


def test_one_graph_is_kept_until_another_is_needed():
    told = []

    @contextmanager
    def graph(name):
        told.append(f"{name} starts")
        yield name
        told.append(f"{name} ends")

    stage = Stage()
    assert stage.keep("a", lambda: graph("a")) == stage.keep("a", lambda: graph("a")) == "a"
    assert stage.keep("b", lambda: graph("b")) == "b"
    stage.clear()
    stage.clear()
    stage.keep("b", lambda: graph("b"))
    assert told == ["a starts", "a ends", "b starts", "b ends", "b starts"]


def test_waiting(ros):
    with own_domain():
        one = Station("one")
        try:
            assert not one.wait(lambda: False, 0.05)
            with pytest.raises(RarrlError, match=r"nothing comes \(waited 0 s\)"):
                one.need(lambda: False, "nothing comes", 0.05)
            assert station.START_S > 0 and one.now_stamp(1.0).sec > 0
        finally:
            one.close()
