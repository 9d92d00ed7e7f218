"""What the computer that a robot carries has left to give."""
