"""The environment and its twin: contract, determinism, plans and their events, the expert."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rarrl_sim_envs  # noqa: F401
from rarrl.alfred import SubgoalType
from rarrl.errors import DependencyMissingError, InputError
from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.obstacles import Body, summarize
from rarrl.perception.voxels import PRESETS
from rarrl.types import ActStatus
from rarrl_sim_envs.household.env import HouseholdEnv
from rarrl_sim_envs.household.expert import Expert
from rarrl_sim_envs.household.scene import T_BASE_LEFT
from rarrl_sim_envs.household.tasks import remaining_plan

STOP = np.zeros(3, dtype=np.float32)


@pytest.fixture(scope="module")
def twin():
    return HouseholdEnv(stereo=False)


@pytest.fixture(scope="module")
def rendered():
    env = HouseholdEnv()
    try:
        env.reset(seed=2)
    except DependencyMissingError as error:
        pytest.skip(str(error))
    yield env
    env.close()


def press(env):
    """Begins the interaction of the sub-goal that is on, and gives the info at its end."""
    env.step(STOP)
    *_, info = env.step(np.array([0, 0, 1], dtype=np.float32))
    while env.world.busy:
        *_, info = env.step(STOP)
    return info


@pytest.mark.filterwarnings("ignore::UserWarning")  # of spaces that are not within -1..1
def test_the_twin_passes_the_checker():
    check_env(gymnasium.make("rarrl/HouseholdTwin-v0").unwrapped, skip_render_check=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_rendered_one_passes_the_checker(rendered):
    env = gymnasium.make("rarrl/Household-v0", render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=1)
    picture = env.render()
    assert picture.shape == (240, 320, 3) and picture.std() > 10
    env.close()


def test_the_same_seed_gives_the_same_run(twin):
    actions = np.random.default_rng(0).uniform((-0.2, -1.5, 0), (0.6, 1.5, 1), (150, 3))

    def run():
        observed, _ = twin.reset(seed=7)
        rows = [(observed["scan"], observed["proprio"], observed["instruction"])]
        for action in actions:
            observed, reward, _, _, info = twin.step(action)
            rows.append((observed["scan"], observed["proprio"], observed["subgoal"], reward, str(info)))
        return rows

    for a, b in zip(run(), run(), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert twin.reset(seed=8)[0]["scan"].tolist() != twin.reset(seed=7)[0]["scan"].tolist()


def test_twin_and_rendered_one_are_the_same_world(rendered, twin):
    pictures = []
    first, second = rendered.reset(seed=2), twin.reset(seed=2)
    assert first[0]["instruction"] == second[0]["instruction"] and first[1] == second[1]
    for action in np.random.default_rng(1).uniform((-0.2, -1.5, 0), (0.6, 1.5, 1), (25, 3)):
        a, b = rendered.step(action), twin.step(action)
        assert np.array_equal(a[0]["proprio"], b[0]["proprio"]) and a[1:4] == b[1:4] and a[4] == b[4]
        pictures.append(a[0]["stereo"])
    assert pictures[0].shape == (2, 240, 320, 3) and pictures[0].dtype == np.uint8
    assert np.abs(pictures[0].astype(int) - pictures[-1]).mean() > 5


def test_the_pictures_show_what_the_scan_says(rendered):
    """Depth of the middle row's surfaces against the rays, where neither legs nor things on tables are in between."""
    rendered.reset(seed=2)
    world, scene = rendered.world, rendered.scene
    world.people.clear()
    x, y = world.home.size[0] / 4, world.home.size[1] / 2
    agreeing = []
    for heading in np.arange(12) * np.pi / 6:
        world.teleport(x, y, heading)
        depth = scene.depth(world)
        v, u = np.indices(depth.shape)
        rig = scene.rig
        points = np.stack([(u - rig.cx) * depth / rig.fx, (v - rig.cy) * depth / rig.fy, depth], axis=-1).reshape(-1, 3)
        base = points @ T_BASE_LEFT[:3, :3].T + T_BASE_LEFT[:3, 3]
        tall = base[(base[:, 2] > 0.1) & (base[:, 2] < 1.4)]
        bearing = np.arctan2(tall[:, 1], tall[:, 0])
        far = np.hypot(tall[:, 0], tall[:, 1])
        summary = world.summary()
        for sector in range(8, 23):
            ray = summary.nearest_m[sector]
            near = far[np.abs(bearing - summary.bearings[sector]) < 0.01]
            if np.isfinite(ray) and len(near):
                agreeing.append(abs(near.min() - ray) < 0.25)
    assert len(agreeing) > 80 and np.mean(agreeing) > 0.85


@pytest.mark.slow
def test_the_detector_reads_the_pictures_as_the_scan_does(rendered):
    """The detector's summary against the rays. It is the nearer one where a voxel is only partly filled."""
    errors = []
    for seed in (1, 2):
        rendered.reset(seed=seed)
        detector, expert = ClassicalDetector(rendered.scene.rig, PRESETS["indoor"]), Expert()
        for step in range(46):
            v, omega, _ = expert.act(rendered.world, rendered.executor.row).tolist()
            rendered.world.step(v, omega)
            if step % 15 == 0:
                grid = detector.detect(rendered.pair())
                seen = summarize(grid, T_BASE_LEFT, Body(), 0.0, 2.0, rendered.scene.rig.field_rad)
                rays = rendered.world.summary()
                inside = (rays.nearest_m > 0.6) & (rays.nearest_m < 2.8)  # of the cube of voxels
                errors += (seen.nearest_m[inside] - rays.nearest_m[inside]).tolist()
    error = np.array(errors)
    assert len(error) > 100
    assert np.median(np.abs(error)) < 0.25 and np.mean(np.abs(error) < 0.3) > 0.65
    assert np.mean(error > 0.3) < 0.05  # hardly anything is overlooked


def test_a_plan_runs_sub_goal_by_sub_goal(twin):
    twin.reset(seed=3)
    world = twin.world
    place = next(name for name, place in world.home.places.items() if not place.opens and world.free_slots(place))
    world.take(0)
    name = world.things[0].name
    twin.set_plan([("GotoLocation", place), ("PutObject", name, place)])
    *_, info = twin.step(STOP)
    assert info["subgoal"] == ("GotoLocation", place) and info["event"] is None
    world.teleport(*world.home.places[place].stand())
    observed, *_, info = twin.step(STOP)
    assert info["event"].status is ActStatus.SUCCESS and info["subgoal"] == ("PutObject", name, place)
    assert observed["subgoal"] == f"PutObject {name} {place}"
    info = press(twin)
    assert info["event"].status is ActStatus.SUCCESS and info["subgoal"] is None and info["index"] == 2
    twin.set_plan([("PutObject", name, place)])
    assert twin.executor.rows[0] == ("GotoLocation", place)  # filled in
    *_, info = twin.step(STOP)
    info = press(twin)
    assert info["event"].status is ActStatus.FAILURE and info["event"].reason == "not in the hand"
    assert info["subgoal"] == ("PutObject", name, place)


def test_interact_counts_when_it_rises(twin):
    twin.reset(seed=3)
    twin.set_plan([("ToggleObject", "desklamp")])
    twin.executor.index = 1
    held = [twin.step(np.array([0, 0, 1], dtype=np.float32))[4]["event"] for _ in range(3)]
    assert [event is not None for event in held] == [True, False, False]


@pytest.mark.parametrize("verb", SubgoalType.__members__)
def test_each_kind_of_sub_goal_can_be_started_alone_and_be_done(verb):
    env = HouseholdEnv(stereo=False, disturbance=0.0, subgoal=verb)
    for seed in range(3):
        observed, info = env.reset(seed=seed)
        assert info["subgoal"][0] == verb and observed["subgoal"].startswith(verb)
        expert, done, late, total = Expert(), False, False, 0.0
        while not done and not late:
            _, reward, done, late, info = env.step(expert.act(env.world, env.executor.row))
            total += reward
        assert done and total == 1.0 and info["is_success"]


def test_rewards_add_up_to_the_share_of_conditions():
    env = HouseholdEnv(stereo=False, disturbance=0.0, people=0, task_type="pick_heat_then_place_in_recep")
    env.reset(seed=5)
    expert, total, done = Expert(), 0.0, False
    while not done:
        _, reward, done, late, info = env.step(expert.act(env.world, env.executor.row))
        total += reward
        assert not late
    assert total == pytest.approx(1.0) and info["conditions"][0] == info["conditions"][1]
    assert remaining_plan(env.world, env.mission.task) == []


def test_wrong_input_is_refused(twin):
    twin.reset(seed=0)
    for action in (np.zeros(2), np.array([0.0, np.nan, 0.0])):
        with pytest.raises(InputError, match="three finite numbers"):
            twin.step(action)
    with pytest.raises(InputError, match="no option 'speed'"):
        twin.reset(options={"speed": 1})
    with pytest.raises(InputError, match="no sub-goal 'Dance'"):
        HouseholdEnv(subgoal="Dance")
    with pytest.raises(InputError, match="no task type 'dance'"):
        HouseholdEnv(task_type="dance")
    with pytest.raises(InputError, match="people must be"):
        HouseholdEnv(people=-1)
    with pytest.raises(InputError, match="is no class"):
        twin.set_plan([("PickupObject", "dragon")])
    with pytest.raises(InputError, match="is not \\(verb"):
        twin.set_plan([("PutObject", "mug")])
    with pytest.raises(InputError, match="stereo=True"):
        twin.pair()
