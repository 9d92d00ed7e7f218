"""What stands between everything clever and the motors: numpy, and nothing that was learned."""
