"""Train, evaluate and benchmark the stereo detector, on rendered and real pairs."""
