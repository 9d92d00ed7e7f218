"""A live view of a robot in the browser: what it sees, where it is, what it plans, and why it thinks. No ROS here."""
