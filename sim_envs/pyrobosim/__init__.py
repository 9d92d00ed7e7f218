"""A robot that is not ours: pyrobosim's, in the world of the ROSCon 2024 deliberation workshop, and missions for it."""
