"""What a robot can do and where, from its maker's two files: `skills.yaml` and `world.yaml`. Pure: no ROS, no model."""
