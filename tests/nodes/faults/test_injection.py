"""A node is killed only where its operator has allowed it."""

import signal

import pytest

from rarrl.errors import InputError
from rarrl_nodes.faults.injection import ALLOW, SERVICE, inject


@pytest.fixture
def started(process, ear, namespace, monkeypatch):
    """Starts orchestrator_node and waits until it says something; its process and full name."""
    monkeypatch.setattr("rarrl_nodes.faults.injection.FIND_S", 60.0)

    def start(parameters):
        child = process("orchestrator_node", parameters)
        assert ear.until(lambda: bool(ear.heard["/diagnostics"]), 90.0)
        return child, f"{namespace}/orchestrator_node"

    return start


def test_it_is_refused_unless_the_parameter_allows_it(started, ear):
    child, name = started({ALLOW: False})
    with pytest.raises(InputError, match=rf"{name} does not allow it: .*{ALLOW}"):
        inject(name)
    assert child.poll() is None
    assert f"{name}/{SERVICE}" not in dict(ear.node.get_service_names_and_types())


def test_it_cannot_be_allowed_while_the_node_runs(local_node):
    from rclpy.parameter import Parameter

    from rarrl_nodes.orchestrator_node import OrchestratorNode

    node = local_node(OrchestratorNode)
    (result,) = node.set_parameters([Parameter(ALLOW, value=True)])
    assert not result.successful and node.get_parameter(ALLOW).value is False


def test_a_node_that_allows_it_is_killed(started):
    child, name = started({ALLOW: True})
    assert inject(name, back_s=0.0) is None  # nobody starts it again here
    assert child.wait(timeout=10) == -signal.SIGKILL


def test_no_such_node(ros, monkeypatch):
    monkeypatch.setattr("rarrl_nodes.faults.injection.FIND_S", 0.2)
    with pytest.raises(InputError, match="no node /nobody answers"):
        inject("nobody")
