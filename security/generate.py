"""Writes rarrl.policy.xml: what each node may publish, hear, offer and call, for SROS2's access control.

    python security/generate.py [--check]

The rows come from docs/reference/nodes.md, which is made from the nodes themselves, so that a topic that is added is
not forgotten here. An enclave per node, /rarrl/NODE; what is not named is denied. `ros2 security generate_artifacts`
turns the file into signed permissions: docs/how-to/secure-a-robot.md. The format is that of
https://design.ros2.org/articles/ros2_access_control_policies.html, version 0.2.0.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

HERE = Path(__file__).resolve().parent
NODES = HERE.parent / "docs" / "reference" / "nodes.md"
POLICY = HERE / "rarrl.policy.xml"

PARAMETERS = ("describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters",
              "set_parameters_atomically", "get_type_description")  # fmt: skip
"""Services that every node of ROS 2 has."""
LIFECYCLE = ("change_state", "get_state", "get_available_states", "get_available_transitions", "get_transition_graph")
"""Those of a managed node besides."""
_ROW = re.compile(r"\| `(?P<name>[^`]+)` \| (?P<way>in|out|service|client) \|")


@dataclass
class Profile:
    """What one node may do; names as the page has them (`~/` is the node itself)."""

    node: str
    publish: set[str] = field(default_factory=set)
    subscribe: set[str] = field(default_factory=set)
    reply: set[str] = field(default_factory=set)
    request: set[str] = field(default_factory=set)


def profiles(page: str) -> list[Profile]:
    """A profile per node of the page, and the operator's."""
    found = [_profile(part) for part in page.split("\n## ")[1:]]
    operator = Profile("_ros2cli", publish={"instruction"}, subscribe={"/diagnostics", "task", "rosout"})
    for profile in found:
        operator.request |= {f"{profile.node}/{name[2:]}" for name in profile.reply if name.startswith("~/")}
    for profile in found:
        profile.publish |= {"rosout", "parameter_events", "~/transition_event"}
        profile.subscribe |= {"clock", "parameter_events"}
        profile.reply |= {f"~/{name}" for name in (*PARAMETERS, *LIFECYCLE)}
    return [*found, operator]


def _profile(part: str) -> Profile:
    profile = Profile(part.splitlines()[0].strip())
    sets = {"in": profile.subscribe, "out": profile.publish, "service": profile.reply, "client": profile.request}
    for row in _ROW.finditer(part):
        sets[row["way"]].add(row["name"])
    return profile


def policy(found: Sequence[Profile]) -> str:
    """The XML of an enclave per profile."""
    return "\n".join(('<?xml version="1.0" encoding="UTF-8"?>', *_lines(found), ""))


def _lines(found: Sequence[Profile]) -> Iterator[str]:
    yield "<!-- Made by security/generate.py from docs/reference/nodes.md: change it there. -->"
    yield '<policy version="0.2.0">'
    yield "  <enclaves>"
    for profile in found:
        enclave = "operator" if profile.node == "_ros2cli" else profile.node
        yield f"    <enclave path={quoteattr(f'/rarrl/{enclave}')}>"
        yield "      <profiles>"
        yield f'        <profile ns="/" node={quoteattr(profile.node)}>'
        for tag, way, names in (
            ("service", "reply", profile.reply),
            ("service", "request", profile.request),
            ("topic", "publish", profile.publish),
            ("topic", "subscribe", profile.subscribe),
        ):
            if names:
                yield f'          <{tag}s {way}="ALLOW">'
                yield from (f"            <{tag}>{escape(name)}</{tag}>" for name in sorted(names))
                yield f"          </{tag}s>"
        yield "        </profile>"
        yield "      </profiles>"
        yield "    </enclave>"
    yield "  </enclaves>"
    yield "</policy>"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 where --check finds that the file is another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args(arguments)
    text = policy(profiles(NODES.read_text("utf-8")))
    if not given.check:
        POLICY.write_text(text, "utf-8")
        return 0
    same = POLICY.is_file() and POLICY.read_text("utf-8") == text
    print("as the nodes are" if same else f"{POLICY}: the nodes have changed; run python security/generate.py")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
