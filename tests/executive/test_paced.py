"""A flood is given out at its pace, the newest first of all."""

from rarrl.executive.paced import Paced


def test_a_flood_costs_as_much_as_its_pace_and_ends_with_the_newest():
    paced = Paced[int](0.2)
    given = []
    for tick in range(2001):  # 1,000 a second for two seconds
        paced.offer(tick)
        if (value := paced.due(tick / 1000)) is not None:
            given.append(value)
    assert 10 <= len(given) <= 11  # one in 0.2 s
    assert given[0] == 0 and given == sorted(given)
    last = paced.due(10.0)
    assert (given[-1] if last is None else last) == 2000
    assert paced.dropped == 2001 - len(given) - (last is not None)


def test_a_single_one_waits_for_nothing():
    paced = Paced[str](5.0)
    assert paced.due(0.0) is None
    paced.offer("go")
    assert (paced.due(0.0), paced.due(100.0), paced.dropped) == ("go", None, 0)


def test_the_newest_comes_when_it_is_due():
    paced = Paced[str](1.0)
    for word, now in (("a", 0.0), ("b", 0.1), ("c", 0.2)):
        paced.offer(word)
        assert paced.due(now) == (word if word == "a" else None)
    assert (paced.due(0.99), paced.due(1.0), paced.dropped) == (None, "c", 1)
