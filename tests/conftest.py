"""Loopback and an own domain for every test that talks ROS 2; set before anything imports rclpy."""

import os

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # Jazzy and later
os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")  # Humble
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))  # 0..101 is safe on every platform
os.environ.setdefault("MPLBACKEND", "Agg")
