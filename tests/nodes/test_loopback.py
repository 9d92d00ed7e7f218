"""What the environment of a process becomes: over UDP alone, or with how much shared memory and which port."""

import os
import socket
import tempfile
from xml.etree import ElementTree

import pytest

from rarrl_nodes.graph import FASTDDS_PROFILE
from rarrl_nodes.loopback import (
    LOOPBACK_PROFILE,
    NUMBERS,
    PROFILES,
    RANGE,
    TRANSPORTS,
    UDP_PROFILE,
    Shared,
    shared_file,
    told,
    unused_number,
    without_shared_memory,
)


def after(**environment):
    without_shared_memory(environment)
    return environment


@pytest.mark.parametrize("limit", [{RANGE: "LOCALHOST"}, {"ROS_LOCALHOST_ONLY": "1"}])
def test_on_this_machine_alone_a_profile_of_ours_does_what_the_limit_would(limit):
    found = after(**limit)
    assert found[RANGE] == "SYSTEM_DEFAULT" and "ROS_LOCALHOST_ONLY" not in found
    assert found[PROFILES].endswith("/".join(LOOPBACK_PROFILE))
    kinds = [e.text for e in ElementTree.parse(found[PROFILES]).getroot().iter() if e.tag.endswith("type")]
    assert kinds == ["UDPv4"]


def test_elsewhere_fast_dds_is_asked_for_udp():
    profile = {PROFILES: str(shared_file(UDP_PROFILE, {}))}
    assert after() == {TRANSPORTS: "UDPv4"} | profile
    assert after(**{PROFILES: "/opt/rarrl/config/fastdds_shm.xml"}) == {TRANSPORTS: "UDPv4"} | profile
    assert after(**{TRANSPORTS: "LARGE_DATA"}) == {TRANSPORTS: "LARGE_DATA"} | profile


@pytest.mark.parametrize("parts", [LOOPBACK_PROFILE, UDP_PROFILE])
def test_a_thread_of_its_own_announces_the_participant(parts):
    found = ElementTree.parse(shared_file(parts, {})).getroot().iter()
    assert any(element.tag.endswith("throughputController") for element in found)


def test_a_profile_of_the_user_stays():
    kept = {PROFILES: "/etc/discovery_server.xml", RANGE: "LOCALHOST"}
    assert after(**kept) == kept


@pytest.mark.parametrize("shared", [Shared.SMALL, Shared.CLOUDS, Shared.PICTURES])
@pytest.mark.parametrize("given", [{}, {PROFILES: "/opt/rarrl/config/fastdds_shm.xml"}])
def test_a_node_has_the_segment_that_it_needs_and_a_number_until_its_first_participant_is_made(shared, given):
    environment = {RANGE: "LOCALHOST"} | given
    with told(environment, shared):
        elements = list(ElementTree.parse(environment[PROFILES]).getroot().iter())
    found = {e.tag.rpartition("}")[2]: e.text for e in elements if e.text}
    assert int(found["segment_size"]) == shared.value and int(found["participantID"]) in NUMBERS
    assert any(e.tag.endswith("throughputController") for e in elements)
    assert environment == {RANGE: "LOCALHOST"}, "the file is gone, and nothing names it"


@pytest.mark.parametrize("own", [{PROFILES: "/own.xml"}, {TRANSPORTS: "LARGE_DATA"}])
@pytest.mark.parametrize("shared", [Shared.SMALL, Shared.CLOUDS, Shared.PICTURES])
def test_what_the_user_says_of_transports_stays(shared, own):
    environment = dict(own)
    with told(environment, shared):
        assert environment == own
    assert environment == own


@pytest.mark.parametrize(("shared", "kept"), [(Shared.SMALL, False), (Shared.PICTURES, True)])
def test_without_a_folder_for_temporary_files_fast_dds_chooses_the_port(monkeypatch, shared, kept):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    environment = {}
    with told(environment, shared):
        assert environment == ({PROFILES: str(shared_file(FASTDDS_PROFILE, {}))} if kept else {})


def test_the_number_is_free_and_its_port_was_left_longest_ago(tmp_path):
    def port(number):
        return 7400 + 250 * 3 + 11 + 2 * number

    assert unused_number({"ROS_DOMAIN_ID": "3"}, tmp_path) in NUMBERS
    for age_s, number in enumerate(NUMBERS):
        left = tmp_path / f"fastrtps_port{port(number)}"
        left.touch()
        os.utime(left, (1e9 - age_s, 1e9 - age_s))
    assert unused_number({"ROS_DOMAIN_ID": "3"}, tmp_path) == NUMBERS[-1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as busy:
        busy.bind(("", port(NUMBERS[-1]) - 1))
        assert unused_number({"ROS_DOMAIN_ID": "3"}, tmp_path) == NUMBERS[-2]
    (tmp_path / f"fastrtps_port{port(12)}").unlink()
    assert unused_number({"ROS_DOMAIN_ID": "3"}, tmp_path) == 12, "it was never used"


def test_a_domain_that_ros_will_refuse_ends_nothing_here(tmp_path):
    assert {unused_number({"ROS_DOMAIN_ID": text}, tmp_path) in NUMBERS for text in ("", "x", "-1", "99999")} == {True}
