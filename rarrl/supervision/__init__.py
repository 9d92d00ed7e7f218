"""The supervisor of a robot's nodes: what is started, watched and restarted, and what the robot does without a part.

Pure: times and events come in, commands go out; `nodes/supervisor.py` carries them out. Times are seconds of the
steady clock."""
