"""TF in and out. tf2_ros and tf2_msgs are not on PyPI: what stands in for them has Jazzy's names and arguments."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: pip install 'rarrl[ros]', or source a ROS 2")
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped

from rarrl.errors import InputError
from rarrl.frames import matrix_of
from rarrl.poses import pose_matrix
from rarrl_nodes.transforms import Transforms, TransformSender, transform_message


def stand_in(known):
    class TransformException(Exception):  # noqa: N818
        pass

    class Buffer:
        def lookup_transform(self, target_frame, source_frame, time):
            if (target_frame, source_frame) not in known:
                raise TransformException(
                    f'"{source_frame}" passed to lookupTransform argument source_frame\nis unknown'
                )
            return known[target_frame, source_frame]

    class TransformListener:
        def __init__(self, buffer, node, *, spin_thread=False):
            pass

    return SimpleNamespace(Buffer=Buffer, TransformListener=TransformListener, TransformException=TransformException)


def test_a_transform_goes_out_and_comes_in_as_the_same_matrix(monkeypatch):
    T = pose_matrix(1.0, -2.0, 3 * math.pi / 4)
    msg = transform_message("odom", "base_link", T, Time(sec=7))
    assert (msg.header.frame_id, msg.child_frame_id, msg.header.stamp.sec) == ("odom", "base_link", 7)

    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in({("odom", "base_link"): msg}))
    np.testing.assert_allclose(Transforms(None, "x").matrix("/odom", "/base_link"), T, atol=1e-9)


def test_what_tf_does_not_know_or_garbles_is_told_in_one_line(monkeypatch):
    broken = TransformStamped()
    broken.transform.translation.x = math.nan
    monkeypatch.setitem(sys.modules, "tf2_ros", stand_in({("base_link", "laser"): broken}))
    transforms = Transforms(None, "x")
    for frame, says in (("laser", "not finite"), ("lidar", "TF does not know 'lidar' on 'base_link'")):
        with pytest.raises(InputError, match=says) as caught:
            transforms.matrix("base_link", frame)
        assert "\n" not in str(caught.value)


def test_without_tf2_msgs_nothing_is_sent(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_msgs", None)
    said = []
    node = SimpleNamespace(get_logger=lambda: SimpleNamespace(info=said.append))
    TransformSender(node).send(TransformStamped())
    assert said == ["tf2_msgs is not installed: no transforms are published"]


def test_with_tf2_msgs_moving_and_fixed_ones_go_to_their_topics(monkeypatch):
    sent = {}

    def create_publisher(kind, topic, qos):
        return SimpleNamespace(publish=lambda msg: sent.setdefault(topic, []).append(msg.transforms[0].child_frame_id))

    messages = SimpleNamespace(TFMessage=lambda transforms: SimpleNamespace(transforms=transforms))
    monkeypatch.setitem(sys.modules, "tf2_msgs", SimpleNamespace(msg=messages))
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", messages)
    sender = TransformSender(SimpleNamespace(create_publisher=create_publisher))
    sender.send(TransformStamped(child_frame_id="base_link"))
    sender.send(TransformStamped(child_frame_id="left_eye"), fixed=True)
    assert sent == {"/tf": ["base_link"], "/tf_static": ["left_eye"]}


def test_the_simulated_camera_is_where_its_scan_says():
    from rarrl_nodes.sim_messages import T_BASE_CAMERA

    msg = transform_message("base_link", "left_eye", T_BASE_CAMERA, Time())
    t, q = msg.transform.translation, msg.transform.rotation
    back = matrix_of((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
    ahead = back @ [0.0, 0.0, 2.0, 1.0]
    assert ahead[0] > 1.0 and ahead[1] == pytest.approx(T_BASE_CAMERA[1, 3]) and t.z > 0.3
