"""Recordings of a robot's topics as rosbag2 keeps them, MCAP and SQLite: written and read without ROS."""
