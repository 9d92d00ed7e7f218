"""Obstacles from a rectified stereo pair: rig, disparity, voxels, summary; rivals, metrics, evaluation, benchmark."""
