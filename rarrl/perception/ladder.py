"""Detectors of one camera that take each other's place to keep a rate: the most accurate first, the quickest last."""

from __future__ import annotations

from rarrl.perception.classical import ClassicalDetector
from rarrl.perception.detectors import DETECTORS, detector_class
from rarrl.perception.rig import CameraRig
from rarrl.perception.voxels import GridSpec, Voxelizer
from rarrl.resources.rate_keeper import RateKeeper
from rarrl.types import StereoPair, VoxelGrid


class DetectorLadder:
    """The detector of `quality`, and all quicker ones where `target_hz` pairs a second are to be answered; 0: any rate.

    Raises: InputError for an unknown quality."""

    def __init__(self, rig: CameraRig, spec: GridSpec, quality: str, target_hz: float = 0.0) -> None:
        classes = [detector_class(quality)]
        if target_hz:
            all_classes = list(DETECTORS.values())
            classes = all_classes[all_classes.index(classes[0]) :]
        self._names = [name for name, made in DETECTORS.items() if made in classes]
        self._detectors: list[ClassicalDetector] = [made(rig, spec) for made in classes]
        self._target_hz = target_hz
        self.reset()

    def reset(self) -> None:
        """Begins anew with the quality that was asked for."""
        costs = [detector.cost for detector in self._detectors]
        self._keeper = RateKeeper(self._target_hz, costs) if self._target_hz else None

    @property
    def quality(self) -> str:
        """Of the detector in use."""
        return self._names[self._rung]

    @property
    def switches(self) -> int:
        """How often another detector was taken since the beginning."""
        return self._keeper.switches if self._keeper else 0

    @property
    def voxelizer(self) -> Voxelizer:
        """Of its camera and cube."""
        return self._detectors[0].voxelizer

    def detect(self, pair: StereoPair) -> VoxelGrid:
        """See `ClassicalDetector.detect`."""
        return self._detectors[self._rung].detect(pair)

    def took(self, now_s: float, seconds: float) -> str:
        """Hears how long a pair took, all in all, until `now_s` of the steady clock. Returns a line for people where
        another detector is in use from now on, else "".

        >>> from rarrl.perception.voxels import PRESETS
        >>> rig = CameraRig(420.0, 420.0, 160.0, 120.0, 0.12, 320, 240)
        >>> ladder = DetectorLadder(rig, PRESETS["indoor"], "accurate", target_hz=10.0)
        >>> [ladder.took(0.2 * n, 0.15) for n in range(3)][-1]
        'quality fast instead of accurate: a pair took 150 ms, and at 10 Hz it may take 100 ms'
        """
        if self._keeper is None:
            return ""
        before = self._rung
        if not self._keeper.took(now_s, seconds):
            return ""

        change = f"quality {self.quality} instead of {self._names[before]}: a pair took {1e3 * seconds:.0f} ms"
        return f"{change}, and at {self._target_hz:g} Hz it may take {1e3 / self._target_hz:.0f} ms"

    @property
    def _rung(self) -> int:
        return self._keeper.preset if self._keeper else 0
