"""StereoVoxelNet (Li et al., arXiv 2209.08459) rebuilt in torch from its published layer sizes, to time it.

pair -> features at 1/4, one network for both -> match each at 12 shifts whose depths are even -> encoder -> 128 numbers
     -> occupancy at 8^3, 16^3, 32^3 and 64^3, children of occupied parents only

Parameters and multiply-adds come out as published (the test counts them), so its time and memory can be measured. There
are no trained weights here: what it sees is noise, and nothing may be said of its accuracy by this file. The published
code runs the decoder on a CUDA sparse library; here it is dense and masked, as its multiply-adds were counted: 4 % of
the whole. Importing this file needs torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rarrl.errors import InputError
from rarrl.perception.opencv_matchers import colour
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import PRESETS, GridSpec
from rarrl.types import StereoPair, VoxelGrid, VoxelState

DOWN = 4  # images are matched at a quarter of their size
MAX_SHIFT = 48  # columns there; 192 px
VOXELS_A_PLANE = 4  # of depth, between two shifts
LATENT = 128  # numbers between encoder and decoder, as published
# The camera that it was published for (DrivingStereo at half size), its grid and its size of image.
PUBLISHED_RIG = CameraRig(1003.556, 1003.556, 440.0, 197.663, 0.54, width=880, height=400)
PUBLISHED_SPEC = PRESETS["outdoor"]
# Mean and standard deviation of ImageNet's images, R G B.
_MEAN = (0.485, 0.456, 0.406)
_SPREAD = (0.229, 0.224, 0.225)


def shifts(rig: CameraRig, spec: GridSpec) -> list[int]:
    """Columns at a quarter of the size by which the right features are moved: 0, then every fourth voxel of depth.

    >>> shifts(PUBLISHED_RIG, PUBLISHED_SPEC)
    [0, 4, 5, 6, 7, 8, 9, 11, 13, 16, 22, 33]
    """
    depths = spec.voxel_size * np.arange(VOXELS_A_PLANE, spec.size + 1, VOXELS_A_PLANE) + max(spec.origin[2], 0.0)
    columns = (rig.disparity(depths) / DOWN).astype(int)
    return sorted({0, *(int(c) for c in columns if 0 < c <= MAX_SHIFT)})


class StereoVoxelNet:
    """The peer behind the interface of the detectors, with random weights of `seed`.

    Raises: InputError where the grid is not of 64^3 voxels or the image is too small for the encoder."""

    name = "stereovoxelnet"

    def __init__(self, rig: CameraRig, spec: GridSpec, seed: int = 0) -> None:
        if spec.size != 64:
            raise InputError(f"StereoVoxelNet: its grid has 64 voxels a side, got {spec.size}; use 64")
        self.rig, self.spec = rig, spec
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Network(shifts(rig, spec), rig.height, rig.width).eval()

    def detect(self, pair: StereoPair) -> VoxelGrid:
        """Occupied where the network says .5 or more, else unknown: it does not distinguish free from hidden.

        Raises: ValueError where the images are not the camera's size."""
        self.rig.check_size(pair.left)
        with torch.inference_mode():
            levels = self.network(_tensor(pair.left), _tensor(pair.right))
        probability = levels[-1][0, 0].numpy()
        state = np.where(probability >= 0.5, VoxelState.OCCUPIED, VoxelState.UNKNOWN).astype(np.uint8)

        return VoxelGrid(
            state,
            np.where(state == VoxelState.OCCUPIED, probability, np.float32(0.5)),
            self.spec.origin,
            self.spec.voxel_size,
            self.rig.frame,
            pair.stamp_s,
        )

    def use_threads(self, count: int) -> int:
        """Lets torch compute on `count` threads in this process. Returns: how many it were before."""
        before: int = torch.get_num_threads()
        torch.set_num_threads(count)
        return before

    def parameters(self) -> int:
        """How many numbers training sets."""
        return sum(p.numel() for p in self.network.parameters())

    def multiply_adds(self) -> dict[str, int]:
        """Multiply-adds of one pair, by part (`features` of both, `matching`, `decoder`), counted by hooks on its
        convolutions and matrices while it runs."""
        counts = dict.fromkeys(("features", "matching", "decoder"), 0)

        def count(part: str) -> Any:
            def hook(layer: Any, inputs: Any, output: Any) -> None:
                if isinstance(layer, nn.Linear):
                    counts[part] += layer.weight.numel()
                elif isinstance(layer, nn.ConvTranspose3d):  # each input meets each weight of its channel
                    counts[part] += inputs[0].numel() * layer.weight[0].numel()
                else:
                    counts[part] += output.numel() * layer.weight[0].numel()

            return hook

        hooks = []
        for part in counts:
            for layer in getattr(self.network, part).modules():
                if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d):
                    hooks.append(layer.register_forward_hook(count(part)))

        image = np.zeros((self.rig.height, self.rig.width, 3), dtype=np.uint8)
        try:
            self.detect(StereoPair(image, image))
        finally:
            for hook in hooks:
                hook.remove()

        return counts


def _tensor(image: np.ndarray) -> torch.Tensor:
    """(1, 3, height, width) float32 as the network wants it, of a gray or BGR image."""
    rgb = colour(image)[..., ::-1].astype(np.float32) / 255
    scaled = (rgb - np.array(_MEAN, dtype=np.float32)) / np.array(_SPREAD, dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]


class Network(nn.Module):
    """left, right: (1, 3, height, width) -> occupancy probabilities (1, 1, n, n, n) for n of 8, 16, 32, 64."""

    def __init__(self, planes: list[int], height: int, width: int) -> None:
        super().__init__()
        self.planes = planes
        self.features = Features()
        self.matching = Matching()
        self.decoder = Decoder(len(planes), -(-height // DOWN), -(-width // DOWN))

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> list[torch.Tensor]:
        a, b = self.features(left), self.features(right)
        width = a.shape[-1]
        volume = a.new_zeros((1, len(self.planes), *a.shape[2:]))
        for i, shift in enumerate(self.planes):
            volume[:, i : i + 1, :, shift:] = self.matching(a[..., shift:], b[..., : width - shift])
        levels: list[torch.Tensor] = self.decoder(volume)
        return levels


class Features(nn.Module):
    """(1, 3, h, w) -> (1, 32, h / 4, w / 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*[layer for n in (3, 32, 32) for layer in (Inverted(n, 32), nn.ReLU())])
        self.fine = nn.Sequential(*_stage(32, 32, 3))
        self.quarter = nn.Sequential(*_stage(32, 32, 16, stride=2))
        self.wide = nn.Sequential(*_stage(32, 64, 3))
        self.dilated = nn.Sequential(*_stage(64, 64, 3, dilation=2))
        self.squeeze = nn.Sequential(
            *_conv(160, 128, 1), nn.ReLU(), *_conv(128, 64, 1), nn.ReLU(), nn.Conv2d(64, 32, 1)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        quarter = self.quarter(self.fine(self.stem(image)))
        wide = self.wide(quarter)
        return self.squeeze(torch.cat((quarter, wide, self.dilated(wide)), dim=1))


class Inverted(nn.Module):
    """MobileNetV2's block, expanding three times; halves the image where the channels change."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        wide = 3 * channels
        self.adds = channels == out
        self.layers = nn.Sequential(
            *_conv(channels, wide, 1),
            nn.ReLU6(),
            *_conv(wide, wide, 3, stride=1 if self.adds else 2, groups=wide),
            nn.ReLU6(),
            *_conv(wide, out, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


class Separable(nn.Module):
    """Two depthwise-and-pointwise convolutions beside a shortcut (MobileNetV1's, made residual)."""

    def __init__(self, channels: int, out: int, stride: int, dilation: int) -> None:
        super().__init__()
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(channels, out, 1, stride))
        self.layers = nn.Sequential(
            *_conv(channels, channels, 3, stride, dilation, channels),
            nn.ReLU6(),
            *_conv(channels, out, 1),
            nn.ReLU6(),
            *_conv(out, out, 3, 1, dilation, out),
            nn.ReLU6(),
            *_conv(out, out, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.layers(x)


def _stage(channels: int, out: int, blocks: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    return [Separable(channels, out, stride, dilation), *(Separable(out, out, 1, dilation) for _ in range(blocks - 1))]


def _conv(
    channels: int, out: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    """A convolution that keeps the size (but for `stride`), and its batch normalisation."""
    pad = dilation * (kernel // 2)
    return nn.Conv2d(channels, out, kernel, stride, pad, dilation, groups, bias=False), nn.BatchNorm2d(out)


class Matching(nn.Module):
    """Left and shifted right features, (1, 32, h, w) each -> one cost, (1, 1, h, w).

    Their channels take turns along a third axis, which three strided convolutions fold: 64 -> 8 -> 2 -> 1."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, out, fold in ((1, 8, 8), (8, 16, 4), (16, 8, 2)):
            layers += _conv3d(channels, out, (fold, 3, 3), (fold, 1, 1), (0, 1, 1))
        self.fold = nn.Sequential(*layers)
        self.join = nn.Sequential(*_conv(8, 1, 1), nn.ReLU())

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        turns = torch.stack((left, right), dim=2).flatten(1, 2)[:, None]
        return self.join(self.fold(turns)[:, :, 0])


def _conv3d(
    channels: int, out: int, kernel: tuple[int, int, int] | int, stride: Any = 1, padding: Any = 0
) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv3d(channels, out, kernel, stride, padding, bias=False), nn.BatchNorm3d(out), nn.ReLU()


class Decoder(nn.Module):
    """Cost volume (1, planes, h, w) -> latent -> occupancy, coarse to fine."""

    def __init__(self, planes: int, height: int, width: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(planes, 64, 6, 2, (2, 10)),
            nn.ReLU(),
            nn.Conv2d(64, 128, 4, 4),
            nn.ReLU(),
            nn.Conv2d(128, 256, 4, 4),
            nn.ReLU(),
            nn.Flatten(),
        )
        rows, columns = ((n + 2 * pad - 6) // 2 + 1 for n, pad in ((height, 2), (width, 10)))
        cells = (rows // 16) * (columns // 16)
        if not cells:
            raise InputError(
                f"StereoVoxelNet: the image is too small for its encoder ({height} x {width} cells of {DOWN} px); "
                "give 128 x 128 px or more"
            )

        self.latent = nn.Sequential(
            nn.Linear(256 * cells, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, LATENT), nn.ReLU()
        )
        self.first = nn.Sequential(
            *_grow(LATENT, 64, 5, 0), *_conv3d(64, 64, 2), *_grow(64, 32, 5, 1), *_conv3d(32, 32, 2)
        )
        self.grow = nn.ModuleList(
            nn.Sequential(*_grow(2 * out, out, 6, 2), *_conv3d(out, out, 3, padding=1)) for out in (16, 8)
        )
        self.tell = nn.ModuleList(nn.Conv3d(channels, 1, 1, bias=False) for channels in (32, 16, 8))
        self.last = nn.ConvTranspose3d(8, 1, 6, 2, 2)

    def forward(self, volume: torch.Tensor) -> list[torch.Tensor]:
        x = self.first(self.latent(self.encode(volume))[:, :, None, None, None])
        levels: list[torch.Tensor] = []
        for tell, grow in zip(self.tell, (*self.grow, self.last), strict=True):
            levels.append(torch.sigmoid(tell(x)) * _of_occupied(levels))
            x = grow(x * (levels[-1] >= 0.5))
        return [*levels, torch.sigmoid(x) * _of_occupied(levels)]


def _of_occupied(levels: list[torch.Tensor]) -> torch.Tensor | float:
    """1 for the children of occupied voxels of the last level, else 0."""
    return functional.interpolate((levels[-1] >= 0.5).float(), scale_factor=2) if levels else 1.0


def _grow(channels: int, out: int, kernel: int, padding: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.ConvTranspose3d(channels, out, kernel, 2, padding, bias=False), nn.BatchNorm3d(out), nn.ReLU()
