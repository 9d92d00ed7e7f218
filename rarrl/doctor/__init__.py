"""`rarrl doctor`: what is installed, what is missing or broken, and what therefore runs on this computer.

It imports only the standard library, because it must work if a dependency is missing or too old:
`python -m rarrl.doctor` needs nothing else. What can only be known by trying, compiled libraries, ROS and drawing, is
tried in a process of its own."""

from rarrl.doctor.diagnosis import as_text, diagnose
from rarrl.doctor.finding import Check, Status

__all__ = ["Check", "Status", "as_text", "diagnose"]
