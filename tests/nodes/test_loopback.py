"""What the environment of a process becomes that talks over UDP alone."""

from xml.etree import ElementTree

import pytest

from rarrl_nodes.loopback import (
    LOOPBACK_PROFILE,
    PROFILES,
    RANGE,
    TRANSPORTS,
    UDP_PROFILE,
    shared_file,
    without_pictures,
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


@pytest.mark.parametrize(("profile", "kept"), [("/opt/rarrl/config/fastdds_shm.xml", False), ("/own.xml", True)])
def test_who_sends_no_pictures_has_a_small_segment_and_the_user_s_profile(profile, kept):
    environment = {PROFILES: profile, RANGE: "LOCALHOST"}
    without_pictures(environment)
    assert environment == ({PROFILES: profile} if kept else {}) | {RANGE: "LOCALHOST"}


def test_who_sends_clouds_has_a_segment_for_clouds_and_the_user_s_profile():
    environment = {PROFILES: "/opt/rarrl/config/fastdds_shm.xml"}
    without_pictures(environment, clouds=True)
    found = ElementTree.parse(environment[PROFILES]).getroot().iter()
    assert [int(each.text) for each in found if each.tag.endswith("segment_size")] == [4 * 2**20]
    own = {PROFILES: "/own.xml"}
    without_pictures(own, clouds=True)
    assert own == {PROFILES: "/own.xml"}
