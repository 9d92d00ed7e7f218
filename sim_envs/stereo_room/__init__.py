"""A furnished room seen by a stereo head, with exact voxel truth."""
