"""A greenhouse with a gantry arm on a rail, as another team might have it. It knows nothing of rarrl.

The arm rides along the rail, looks at beds through its camera, cuts fruit, fills a can and waters. Now and then the
cutter slips, and the crew has moved the basil: that is what skills are like.
"""

from dataclasses import dataclass, field


@dataclass
class Greenhouse:
    """How everything is. plants: bed -> fruit that hangs there."""

    at: str = "bench"
    can_full: bool = False
    in_hand: str = ""
    cuts: int = 0
    roof_open: bool = False
    plants: dict[str, list[str]] = field(
        default_factory=lambda: {
            "bed_1": ["tomato", "tomato"],
            "bed_2": [],
            "bed_3": ["basil"],
            "bench": [],
            "crate": [],
        }
    )
    watered: list[str] = field(default_factory=list)


house = Greenhouse()


def ride(stop: str, speed: float = 0.5) -> None:
    """Rides to a stop of the rail."""
    house.at = stop


def look() -> dict:
    """What the camera sees at this stop."""
    return {"success": True, "plants": [{"kind": kind, "ripeness": 0.9} for kind in house.plants.get(house.at, [])]}


def cut(fruit: str) -> tuple[str, str]:
    """Cuts a fruit from the bed where the arm stands; the second try of three slips."""
    if house.in_hand:
        return "HAND_FULL", f"there is a {house.in_hand} in the gripper"
    if fruit not in house.plants.get(house.at, []):
        return "NOT_HERE", f"no {fruit} at {house.at}"
    house.cuts += 1
    if house.cuts % 3 == 2:
        return "SLIPPED", "the cutter slipped"
    house.plants[house.at].remove(fruit)
    house.in_hand = fruit
    return "OK", ""


def lay_down(fruit: str) -> tuple[str, str]:
    """Lays down what is in the gripper."""
    if house.in_hand != fruit:
        return "NOT_HERE", f"no {fruit} in the gripper"
    house.plants[house.at].append(fruit)
    house.in_hand = ""
    return "OK", ""


def fill_can() -> bool:
    """Fills the can at the tank."""
    house.can_full = house.can_full or house.at == "tank"
    return house.can_full


def water() -> bool:
    """Empties the can over the bed where the arm stands."""
    if not house.can_full:
        return False
    house.watered.append(house.at)
    house.can_full = False
    return True


def roof(state: str) -> None:
    """Opens or shuts the roof."""
    house.roof_open = state == "open"
