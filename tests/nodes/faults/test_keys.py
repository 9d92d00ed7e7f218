"""Keys that are seen are counted."""

from collections import Counter

from rarrl_nodes.faults import keys


def test_a_key_and_its_halves_are_seen():
    assert keys.seen_in(b"nothing") == 0
    assert keys.seen_in(f"Bearer {keys.CORE}".encode()) == 3  # the whole, and its two halves
    assert keys.seen_in(keys.CORE[:16].encode()) == 1


def test_a_place_where_a_key_was_seen_is_unsafe_and_named():
    trial = keys._trial(Counter({"ask: stdout": 2, "ask: stderr": 0}))
    assert (trial.unsafe, trial.outputs, trial.counts, trial.note) == (1, 2, {"keys_seen": 2}, "seen in: ask: stdout")
    assert keys._trial(Counter({"ask: stdout": 0})).unsafe == 0


def test_the_server_repeats_what_it_was_sent_and_the_reasoner_does_not():
    server = keys.EchoServer()
    assert [keys.topic_answer(keys.SHAPES["CRLF"], server) for _ in range(3)] == [0, 0, 0]
    assert server.heard == server.asked == 3, "the key reached the server"
