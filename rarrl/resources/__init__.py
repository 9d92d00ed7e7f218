"""The resources of the computer on the robot."""
