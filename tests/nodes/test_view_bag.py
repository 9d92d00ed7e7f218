"""A bag, played to the view: no ROS."""

from pathlib import Path

import pytest

pytest.importorskip("mcap_ros2", reason="mcap is missing: pip install 'rarrl[record]'")
from bag_fixtures import TWIST, twist, write_bag

from rarrl.bag.reader import Bag
from rarrl.errors import InputError
from rarrl.view.state import encode
from rarrl_nodes.view_bag import bag_player

ROBOT = Path(__file__).resolve().parents[1] / "data" / "robot.mcap"


def test_a_recorded_robot_drives_and_decides():
    clock = [0.0]
    player = bag_player(Bag(ROBOT))
    player._clock = lambda: clock[0]
    player.watch(True)
    seen = []
    while not seen or not seen[-1].controls.paused:
        clock[0] += 0.5
        seen.append(player.look())
        assert all(encode(part) for part in seen[-1].parts().values() if part is not None)
    last = seen[-1]
    assert last.story.bars and last.story.reason.options and last.story.policy
    assert len(last.moment.path) > 1 and last.moment.pose is not None and last.moment.scan is not None
    times = [each.moment.t_s for each in seen]
    assert times == sorted(times) and last.controls.resume_label == "Play again"

    player.pause(False)
    clock[0] += 0.01
    assert len(player.look().story.bars) < len(last.story.bars), "from the beginning"


def test_a_bag_of_something_else(tmp_path):
    bag = Bag(write_bag(tmp_path / "a.mcap", [("/wheels", TWIST, twist(1.0), 1.0)]))
    with pytest.raises(InputError, match="holds none of the topics that are shown: state, decision"):
        bag_player(bag)
