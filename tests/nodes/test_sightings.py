from types import SimpleNamespace as Message

from rarrl_nodes.sightings import AS_GOOD, sightings


def detected(*scored):
    results = [Message(hypothesis=Message(class_id=name, score=score)) for name, score in scored]
    center = Message(position=Message(x=1.0, y=2.0))
    header = Message(frame_id="map")
    return Message(detections=[Message(results=results, bbox=Message(center=center), header=header)], header=header)


def test_what_a_detector_had_nearly_taken_a_thing_for_is_kept():
    (seen,) = sightings(detected(("knife", 0.4), ("cup", 0.8), ("lamp", AS_GOOD * 0.8 - 0.01)))
    assert (seen.label, seen.confidence, seen.others) == ("cup", 0.8, ("knife",))
    (sure,) = sightings(
        detected(
            ("cup", 0.9),
        )
    )
    assert sure.others == ()
