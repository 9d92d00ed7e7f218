"""Parsers of what people write: settings, skills, worlds, policies, parameter files; and the two grammars below."""

from __future__ import annotations

from pathlib import Path

from fuzz_mutators import Mutator, json_of, yaml_of
from fuzz_target import COSTLY, DATA, DEAR, Parse, at, target, value_of


@target("strict JSON")
def _json(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.strict_json import parse_json

    seeds = [{"a": [1, 2.5, None, True, "text"], "b": {"c": {"d": [[], {}]}}}, [1, "a"], "text", 3]
    return lambda data: parse_json(data, "file", "a.json"), json_of(seeds)


@target("plain YAML", runs=DEAR)
def _yaml(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.strict_yaml import parse_yaml

    return lambda data: parse_yaml(data, "file", "a.yaml"), yaml_of(["a: 1\nb: [1, 2.5, text]\nc:\n  d: {e: 'f'}\n"])


@target("settings (YAML)", runs=DEAR)
def _config_yaml(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.config import load_config

    seed = "orchestrator:\n  policy: learned\n  time_budget_s: 20.0\ngate:\n  radius_m: 0.3\nreplay:\n  speed: 5.0\n"
    seed += 'language_model:\n  extra_body: {a: 1}\n  headers: \'{"X-A": "$B"}\'\n'
    return at(place / "a.yaml", load_config), yaml_of([seed])


@target("settings (values)")
def _config(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.config import Config, config_from_values

    whole = Config().model_dump()
    seeds = [{section: values} for section, values in whole.items()]
    seeds.append({"language_model": {"extra_body": {"a": [1, {"b": "c"}]}, "headers": {"X-A": "$B"}}})
    return lambda data: config_from_values(value_of(data), "a.yaml"), json_of(seeds)


@target("skills.yaml", runs=DEAR)
def _skills_yaml(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.skills.skill_set import load_skills

    return at(place / "skills.yaml", load_skills), yaml_of([(DATA / "starter" / "skills.yaml").read_text()])


@target("skills (values)", runs=COSTLY)
def _skills(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import SKILLS

    from rarrl.skills.skill_set import SkillSet
    from rarrl.strict_json import validated

    return lambda data: validated(SkillSet, value_of(data), "skills", "skills.yaml", {}), json_of([SKILLS])


@target("world.yaml", runs=DEAR)
def _world_yaml(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.skills.world import load_world

    return at(place / "world.yaml", load_world), yaml_of([(DATA / "starter" / "world.yaml").read_text()])


@target("world (values)", runs=COSTLY)
def _world(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import WORLD

    from rarrl.skills.world import World
    from rarrl.strict_json import validated

    return lambda data: validated(World, value_of(data), "world", "world.yaml", {}), json_of([WORLD])


@target("skills and world together", runs=COSTLY)
def _domain(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import SKILLS, WORLD

    from rarrl.skills.domain import Domain
    from rarrl.skills.skill_set import SkillSet
    from rarrl.skills.world import World
    from rarrl.strict_json import validated

    def parse(data: bytes) -> object:
        value = value_of(data)
        value = value if isinstance(value, dict) else {}
        skills = validated(SkillSet, value.get("skills"), "skills", "skills.yaml", {})
        return Domain(skills, validated(World, value.get("world"), "world", "world.yaml", {}))

    return parse, json_of([{"skills": SKILLS, "world": WORLD}])


@target("operator's policy")
def _operator(place: Path) -> tuple[Parse, Mutator]:
    from toy_robot import toy

    from rarrl.skills.operator_policy import load_operator_policy

    domain = toy()
    seed = {
        "forbidden_things": ["lamp"],
        "forbidden_places": ["shelf"],
        "forbidden_pairs": [["cup", "table"]],
        "forbidden_skills": ["shut"],
        "max_steps": 5,
    }
    read = at(place / "operator.json", load_operator_policy)

    def parse(data: bytes) -> object:
        return read(data).check_names(domain.world, domain.skills)  # type: ignore[attr-defined]

    return parse, json_of([seed])


@target("home")
def _home(place: Path) -> tuple[Parse, Mutator]:
    from rarrl.reasoner.home import read_home

    return at(place / "home.json", read_home), json_of([{"countertop": ["mug", "knife"], "shelf": []}])


@target("ROS parameter file", runs=DEAR, needs=("rclpy",))
def _parameters(place: Path) -> tuple[Parse, Mutator]:
    from rarrl_nodes.params import check_file

    seed = "/**:\n  ros__parameters:\n    orchestrator.policy: never\n    a: {b: [1, 2]}\n"
    seed += "node:\n  ros__parameters: {x: 1}\n"
    return at(place / "p.yaml", check_file), yaml_of([seed])
