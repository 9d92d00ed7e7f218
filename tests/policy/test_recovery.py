from rarrl.policy.recovery import BACK_MPS, BACK_S, STUCK_S, Recovery


def run(recovery, commands, measured, start=0.0):
    return [recovery.update(*command, measured, start + 0.1 * i) for i, command in enumerate(commands)]


def test_who_is_asked_to_go_and_stands_backs_off_once_for_a_while():
    steps = round((STUCK_S + BACK_S) / 0.1) + 5
    asked = run(Recovery(), [(0.4, 0.1)] * steps, measured=0.0)
    back = [command == (BACK_MPS, 0.0) for command in asked]
    first = back.index(True)
    assert abs(first * 0.1 - STUCK_S) < 0.25 and asked[:first] == [(0.4, 0.1)] * first
    assert abs(sum(back) * 0.1 - BACK_S) < 0.25 and asked[-1] == (0.4, 0.1)


def test_turning_for_as_long_counts_too_but_moving_and_resting_do_not():
    assert (BACK_MPS, 0.0) in run(Recovery(), [(0.0, 1.0)] * 60, measured=0.0)
    assert (BACK_MPS, 0.0) not in run(Recovery(), [(0.4, 0.0)] * 60, measured=0.2)
    assert (BACK_MPS, 0.0) not in run(Recovery(), [(0.0, 0.0)] * 60, measured=0.0)


def test_a_rest_or_another_subgoal_begins_the_count_anew():
    recovery = Recovery()
    half = round(STUCK_S / 0.2)
    for part in range(4):
        assert (BACK_MPS, 0.0) not in run(recovery, [(0.4, 0.0)] * half, 0.0, start=10.0 * part)
        recovery.reset() if part % 2 else recovery.update(0.0, 0.0, 0.0, 10.0 * part + 9.0)
