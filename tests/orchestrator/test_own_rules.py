"""Rules that users add: registered, or named by their import path."""

import own_parts
import pytest

from rarrl.build import make_orchestrator
from rarrl.errors import InputError
from rarrl.orchestrator.registry import load_policy
from rarrl.orchestrator.rules import (
    RULES,
    grid,
    make_rule,
    plain_families,
    recorded_families,
    register_rule,
    skill_families,
)


@pytest.fixture
def twice():
    """A rule in the table, for the test alone."""
    register_rule("twice", own_parts.Twice, axes={"calls": (1, 2)}, needs_plan=True)
    yield
    RULES.unregister("twice")


def test_a_registered_rule_is_one_like_the_shipped_ones(twice):
    assert load_policy("twice").calls == 2 and load_policy('twice:{"calls": 1}').calls == 1
    assert make_orchestrator("twice", "groq-70b").policy.name == "twice"
    assert grid("twice") == [{"calls": 1}, {"calls": 2}]
    assert "twice" not in plain_families() and "twice" in recorded_families()
    for bad in ('twice:{"call": 1}', 'twice:{"calls": "x"}', "twise"):
        with pytest.raises(InputError) as error:
            load_policy(bad)
        assert "twice" in str(error.value) and "\n" not in str(error.value)


def test_what_a_rule_needs_is_said_where_it_is_registered():
    needs_plan = {name for name in RULES if RULES[name].needs_plan}
    assert needs_plan == {"start", "confidence"} and not needs_plan & set(plain_families())
    assert {name for name in RULES if RULES[name].needs_guard} == {"risk_table", "risk_share"}
    assert (
        {name for name in RULES if RULES[name].needs_skills}
        == {"risk_share"}
        == set(skill_families()) - set(plain_families())
    )
    assert set(plain_families()) == set(RULES) - needs_plan - {"risk_share"} and len(plain_families()) >= 10
    assert "risk_table" not in recorded_families()


def test_an_own_class_by_its_import_path():
    assert make_orchestrator("own_parts:Twice", "groq-70b").policy.calls == 2
    with pytest.raises(InputError, match="has no act"):
        load_policy("own_parts:Tidy")


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="registered already"):
        register_rule("always", lambda: make_rule("never"))
