"""Obstacles as voxels from a rectified stereo pair: rig, matching, voxels, fusion, summary."""
