from rarrl.executive.commands import Adopt, Save, Send, Stop
from rarrl.skills.plan import Step


def test_commands_are_values():
    step = Step("dock")
    assert Send("a" * 32, step, 5.0) == Send("a" * 32, step, 5.0)
    assert Send("a" * 32, step, 5.0) != Adopt("a" * 32, step, 5.0)
    assert len({Save(), Save(), Stop("a"), Stop("b")}) == 3
