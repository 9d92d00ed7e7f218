"""The task executive: carries a task out with a robot's own skills. Pure: events and times come in, values go out."""
