"""Whether a stereo pair is still calibrated, judged from what it sees: `HealthWatch`.

pair -> disparity at quarter size -> corners, each matched to a fraction of a pixel in both directions
     -> how many rows apart the two views of each corner are, over the image -> how the right camera has turned since
        it was calibrated, and what that does to rows and distances (`StereoHealth`) -> a verdict (`HealthJudge`)

In a rectified pair both views of a point lie in one row. If the right camera has turned by small angles since, they are
apart, at the normalised place (x, y) of the image, by

    rows(x, y) = f (-roll x - pitch (1 + y^2) + yaw x y) + stretch f y

(the derivative of the homography K R K^-1, Hartley and Zisserman, "Multiple View Geometry", 2004, section 8.4; its use
on natural features while driving: Hansen, Alismail, Rander and Browning, "Online continuous stereo extrinsic parameter
estimation", CVPR 2012). `stretch` is a difference of the focal lengths. A least-squares fit over many points finds all
four, and how well each is determined:

- Pitch (as a shift of all rows, from which it cannot be told) and roll: always seen, to hundredths of a degree.
- Yaw shifts the disparities, not the rows: only `x y`, the corners of a wide picture, shows it. From a narrow field of
  view it is not seen, and `yaw_sd_deg` says so. Where things are far away, yaw to the left also shows by points that
  come to lie behind infinity.
- A change of the baseline's length is not seen at all: no pair without a known distance in it tells its scale.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from rarrl.perception.corner_matches import match_points
from rarrl.perception.rig import CameraRig
from rarrl.types import StereoPair

# The fit.
FEW_POINTS = 25
"""Points below which a pair tells nothing."""
MEMORY = 0.5
"""Share of what earlier pairs told that counts after one more: the last two or three pairs decide. One pair is enough
for the noise; more would only find a sudden drift later."""
JUMP_PX = 0.5
"""Rows by which a pair may differ from those before it. Farther off, something has happened: what was is forgotten at
once, and the verdict waits for MIN_PAIRS that agree. A few spoiled pairs are no drift."""
STRETCH_SD = 0.002
"""Standard deviation of `stretch` from rig to rig: two lenses of one kind differ by a few thousandths."""
PRIOR = np.diag([0.0, 0.0, 0.0, STRETCH_SD**-2])
"""What is known before anything is seen, as information on pitch, yaw, roll and stretch."""
SYSTEMATIC_PX = 0.025
"""Pixels: what lens distortion that was not fully removed leaves in the rows, over the whole picture. More points do
not average it out, so it bounds how well anything is known. It explains the yaw that the fit reads from six rectified
pairs of public data sets."""
NOISE_PX = 0.03
"""Pixels: no corner is matched better than that."""
SCALE = 1.4826
"""Standard deviation over median absolute deviation, of a normal distribution."""
TRIES = 200
"""Pairs of points from which a fit may begin: once the rows are off, a wall of tiles matches one tile off, and a third
of all points agree on another turn."""
AGREE_PX = 0.15
"""Pixels: a point so near to a fit speaks for it."""
FIFTHS = 5
"""Strips of the picture: roll leaves the rows of its middle in place, and those of its sides are twice as far apart as
the mean says."""
HELD = 0.08
"""Share of the points that a strip must hold to be judged by itself."""
SETTLING = 5
"""Looks that agree until it is known how the pair stood at the start."""
BEHIND_PX = 0.5
"""Pixels: a point by so much behind infinity is not there by noise."""
BEHIND_SHARE = 0.03
"""Share of the points that must be behind infinity to count: fewer are false matches."""

# The verdict.
MIN_PAIRS = 3
"""Pairs that agree before there is a verdict."""
WARN_ROWS_PX = 0.5
"""Rows apart, root of the mean square over the points, from which a person should know. The matcher still works."""
ALARM_ROWS_PX = 0.8
"""Rows apart from which obstacles go wrong: at 1 row a ninth more places of the map look occupied, at half a row next
to none (benchmarks/results/mirror_floor.json)."""
WARN_CHANGE_PX = 0.35
"""Rows by which the worst strip may change while the robot runs, from which a person should know."""
ALARM_CHANGE_PX = 0.5
"""Rows by which the worst strip may change while the robot runs. A pair that stands half a row off from the start is as
it was made; one that changes so far is loose, and where textures repeat, distances jump soon after."""
WARN_DISTANCE = 0.025
"""Share by which distances are wrong, from which a person should know."""
ALARM_DISTANCE = 0.05
"""Share by which distances are wrong, from which the robot should not drive by them; half of the tenth that is never
to be reached."""
SURE = 2.5
"""Standard deviations that a value must have to count: one in 80 is as large by chance."""
LEAVE = 0.7
"""Share of a limit below which a verdict is taken back."""
WARNED = 0.25
"""Share of the time between two looks while there is a warning: it may be a drift on its way to an alarm."""
NEAR_SHARE = 0.25
"""Share of the points that are nearer than the distance that counts: obstacles, not the wall behind them."""


@dataclass(frozen=True)
class Drift:
    """How the right camera stands to the left one, beside what the calibration says. `_sd`: standard deviations.

    pitch_deg: looks down; rows that are all shifted read as pitch. yaw_deg: turned to the left. roll_deg: clockwise as
    it looks. rows_px: rows of the right image minus those of the left one, mean over the points. rows_rms_px: root of
    their mean square. rows_worst_px: the same over the fifth of the picture's width where it is largest. changed_px: by
    how much the rows there have changed since the first looks; 0 until those are over. distance_error: share by which
    things at `distance_m`, where the nearest quarter of the points ends, look too far away (negative: too near), as yaw
    makes them. pairs: looked at so far. points: matched in the last one."""

    pitch_deg: float
    yaw_deg: float
    roll_deg: float
    pitch_sd_deg: float
    yaw_sd_deg: float
    roll_sd_deg: float
    rows_px: float
    rows_rms_px: float
    rows_sd_px: float
    rows_worst_px: float
    changed_px: float
    distance_error: float
    distance_error_sd: float
    distance_m: float
    pairs: int
    points: int

    def text(self) -> str:
        """In one line, for people."""
        angles = ", ".join(
            f"{name} {value:+.2f} +- {sd:.2f}"
            for name, value, sd in (
                ("pitch", self.pitch_deg, self.pitch_sd_deg),
                ("yaw", self.yaw_deg, self.yaw_sd_deg),
                ("roll", self.roll_deg, self.roll_sd_deg),
            )
        )
        return (
            f"right camera turned by {angles} deg; rows {self.rows_rms_px:.2f} px apart, changed by up to "
            f"{self.changed_px:.2f} since the start, distances at {self.distance_m:.1f} m off by "
            f"{100 * self.distance_error:+.0f} +- {100 * self.distance_error_sd:.0f} %"
        )


def _terms(x: np.ndarray, y: np.ndarray, focal_px: float) -> np.ndarray:
    """(n, 4): rows per radian of pitch, yaw and roll, and per unit of stretch, at normalised places (n,)."""
    terms: np.ndarray = focal_px * np.stack([-(1 + y * y), x * y, -x, y], axis=1)
    return terms


class StereoHealth:
    """Finds the drift of a rectified pair from pairs of images, added up with a memory of some pairs.

    Ten to twenty milliseconds of processor time a pair, so not every pair needs to be looked at.

    Args:
        rig: what the calibration says
        far_m: what lies farther does not matter, metres"""

    def __init__(self, rig: CameraRig, far_m: float) -> None:
        self._rig = rig
        self._far_m = far_m
        self.points = 0
        """How many the last pair showed."""
        self.drift: Drift | None = None
        """None until something was seen."""
        self._first = np.zeros(4)
        self._settled = 0
        self._forget()

    @property
    def settled(self) -> bool:
        """Whether it is known how the pair stood at the start."""
        return self._settled == SETTLING

    def _forget(self) -> None:
        self._told = np.zeros(4)  # sum over the points of their terms times their rows
        self._noise = 0.0  # variance of the rows, square pixels; the mean, so that each pair counts alike
        self._spreads = np.zeros((FIFTHS, 4, 4))  # sums over the points of a strip of the products of their terms,
        self._weights = np.zeros(FIFTHS)  # and of their weights
        self._middle = np.zeros(4)  # and of the terms of all points
        self._distance_m = math.nan
        self._behind_px = 0.0
        self._pairs = 0

    def look(self, left: np.ndarray, right: np.ndarray) -> Drift | None:
        """Takes one pair ((height, width) or (height, width, 3) uint8 each); the drift as far as it is known.

        A pair with few points tells nothing and changes nothing.

        Raises: ValueError where the images are not of the camera's size."""
        self._rig.check_size(left)
        self._rig.check_size(right)
        corners, found = match_points(left, right, self._rig)
        self.points = len(corners)
        if len(corners) >= FEW_POINTS:
            self._add(corners, found)
        return self.drift

    def _add(self, corners: np.ndarray, matches: np.ndarray) -> None:
        rig = self._rig
        terms = _terms((matches[:, 0] - rig.cx - rig.doffs) / rig.fx, (corners[:, 1] - rig.cy) / rig.fy, rig.fy)
        rows = (matches[:, 1] - corners[:, 1]).astype(np.float64)
        found, weight, sd = _robust(terms, rows)

        weighted = terms * weight[:, None]
        if self._pairs and self._jumped(found, weighted.T @ terms / weight.sum()):
            self._forget()
        share = 1.0 if self._pairs == 0 else 1 - MEMORY
        self._noise += share * (sd**2 - self._noise)
        self._told = MEMORY * self._told + weighted.T @ rows
        strip = np.clip((matches[:, 0] * FIFTHS / rig.width).astype(int), 0, FIFTHS - 1)
        for k in range(FIFTHS):
            self._spreads[k] = MEMORY * self._spreads[k] + weighted[strip == k].T @ terms[strip == k]
            self._weights[k] = MEMORY * self._weights[k] + weight[strip == k].sum()
        self._middle = MEMORY * self._middle + weighted.sum(axis=0)
        self._pairs += 1

        shifted = (corners[:, 0] - matches[:, 0] + rig.doffs)[weight > 0.5]
        behind = shifted[shifted < -BEHIND_PX]
        told = len(behind) >= max(5, BEHIND_SHARE * len(shifted))
        self._behind_px += share * ((-float(np.median(behind)) if told else 0.0) - self._behind_px)

        depth = rig.fx * rig.baseline / shifted[shifted > 0]
        depth = depth[depth < self._far_m]
        if len(depth):
            near = float(np.quantile(depth, NEAR_SHARE))
            before_m = near if math.isnan(self._distance_m) else self._distance_m
            self._distance_m = before_m + share * (near - before_m)
        self.drift = self._solved()

    def _jumped(self, found: np.ndarray, spread: np.ndarray) -> bool:
        """Whether a pair's own fit differs from what was known. spread: mean products of its points' terms."""
        by = found - self._known()[0]
        return math.sqrt(by @ spread @ by) > JUMP_PX

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """Pitch, yaw, roll and stretch as they are known, and their covariance by the noise of the points."""
        noise = np.linalg.pinv(self._spreads.sum(axis=0) / self._noise + PRIOR)
        return noise @ self._told / self._noise, noise

    def _solved(self) -> Drift:
        found, noise = self._known()
        spread = self._spreads.sum(axis=0) / self._weights.sum()
        # Errors that the points share: as large as SYSTEMATIC_PX, and in the worst case of a term's own shape.
        together = SYSTEMATIC_PX**2 * np.linalg.pinv(spread + PRIOR * SYSTEMATIC_PX**2)
        covariance = noise + together

        pitch, yaw, roll, _ = found
        yaw_sd = math.sqrt(covariance[1, 1])
        rows_sd = math.sqrt(float(np.trace(noise @ spread)) + SYSTEMATIC_PX**2)
        if self._pairs >= MIN_PAIRS and not self.settled:
            self._first += (found - self._first) / (self._settled + 1)
            self._settled += 1

        least = self._behind_px / self._rig.fx
        if least > max(yaw, 0.0):  # only yaw to the left takes points behind infinity
            yaw, yaw_sd = least, min(yaw_sd, BEHIND_PX / self._rig.fx)
        per_rad = self._distance_m / self._rig.baseline

        return Drift(
            pitch_deg=math.degrees(pitch),
            yaw_deg=math.degrees(yaw),
            roll_deg=math.degrees(roll),
            pitch_sd_deg=math.degrees(math.sqrt(covariance[0, 0])),
            yaw_sd_deg=math.degrees(yaw_sd),
            roll_sd_deg=math.degrees(math.sqrt(covariance[2, 2])),
            rows_px=float(self._middle / self._weights.sum() @ found),
            rows_rms_px=math.sqrt(float(found @ spread @ found)),
            rows_sd_px=rows_sd,
            rows_worst_px=self._worst_px(found),
            changed_px=self._worst_px(found - self._first) if self.settled else 0.0,
            distance_error=float(yaw * per_rad),
            distance_error_sd=float(yaw_sd * per_rad),
            distance_m=self._distance_m,
            pairs=self._pairs,
            points=self.points,
        )

    def _worst_px(self, turn: np.ndarray) -> float:
        """Rows apart by `turn` (4,), root of the mean square over the points of the strip where it is largest."""
        held = self._weights >= HELD * self._weights.sum()
        return math.sqrt(
            max(
                turn @ spread @ turn / weight
                for spread, weight in zip(self._spreads[held], self._weights[held], strict=True)
            )
        )


def _robust(terms: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """A fit in which false matches do not count: the four, the points' weights (n,), and the standard deviation of the
    others, pixels. From two beginnings: all points, and those that agree best. Where a pattern repeats, the two may end
    in different turns, and the picture cannot tell which is true: the worse one is believed."""
    all_, agreed = _settled(terms, rows, np.ones(len(rows)), 0.0), _settled(terms, rows, _agreed(terms, rows), 0.25)
    apart, worse = (math.sqrt(float(np.mean(np.square(terms @ found)))) for found, *_ in (all_, agreed))
    return agreed if worse > 1.1 * apart + AGREE_PX else all_


def _settled(
    terms: np.ndarray, rows: np.ndarray, weight: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """The fit of `_robust` from its beginning on, by weights after Geman and McClure. least: weight of the points whose
    errors tell the standard deviation."""
    sd = 1.0
    for _ in range(10):
        scaled = terms * np.sqrt(weight)[:, None]
        found = np.linalg.lstsq(scaled, rows * np.sqrt(weight), rcond=None)[0]
        error = np.abs(rows - terms @ found)
        near = error[weight > least]
        sd = max(SCALE * float(np.median(near if len(near) >= FEW_POINTS else error)), NOISE_PX)
        weight = 1 / (1 + (error / (2 * sd)) ** 2) ** 2
    return found, weight, sd


def _agreed(terms: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Weights (n,) with which a fit begins: of the pitch and roll on which most points agree, among those that two
    points each make (RANSAC: Fischler and Bolles, 1981)."""
    two = np.random.default_rng(len(rows)).integers(0, len(rows), (TRIES, 2))
    both = terms[:, (0, 2)]
    turns = (np.linalg.pinv(both[two]) @ rows[two][:, :, None])[:, :, 0]
    apart = np.abs(rows - turns @ both.T)
    best = apart[np.argmax(np.maximum(1 - apart / AGREE_PX, 0.0).sum(axis=1))]
    weight: np.ndarray = 1 / (1 + (best / (2 * AGREE_PX)) ** 2) ** 2
    return weight


@dataclass(frozen=True)
class Verdict:
    """warns: a person should know. alarms: obstacles go wrong. text: what is wrong and the way out, "" if nothing."""

    warns: bool = False
    alarms: bool = False
    text: str = ""


class HealthJudge:
    """Turns drifts into a verdict. What cannot be told from no drift (SURE) does not count; a verdict is taken back
    below LEAVE times its limit."""

    def __init__(self) -> None:
        self.verdict = Verdict()

    def judge(self, drift: Drift | None) -> Verdict:
        """The verdict after this drift; the last one where nothing is known."""
        if drift is None or drift.pairs < MIN_PAIRS:
            return self.verdict

        rows = drift.rows_rms_px if drift.rows_rms_px > SURE * drift.rows_sd_px else 0.0
        distance = abs(drift.distance_error) if abs(drift.distance_error) > SURE * drift.distance_error_sd else 0.0
        changed = min(drift.changed_px, drift.rows_worst_px) if drift.changed_px > SURE * drift.rows_sd_px else 0.0
        warns = _over(self.verdict.warns, (rows, WARN_ROWS_PX), (changed, WARN_CHANGE_PX), (distance, WARN_DISTANCE))
        alarms = _over(
            self.verdict.alarms, (rows, ALARM_ROWS_PX), (changed, ALARM_CHANGE_PX), (distance, ALARM_DISTANCE)
        )
        text = f"the stereo pair has lost its calibration: {drift.text()}; recalibrate it" if warns or alarms else ""
        self.verdict = Verdict(warns or alarms, alarms, text)
        return self.verdict


def _over(already: bool, *values: tuple[float, float]) -> bool:
    """Whether any value is over its limit; where it was already, over the smaller limit for taking back."""
    return any(value > limit * (LEAVE if already else 1.0) for value, limit in values)


class HealthWatch:
    """Looks at some of the pairs of a camera and says whether obstacles may still be believed.

    Args:
        rig: what the calibration says
        far_m: what lies farther does not matter, metres
        period_s: seconds between two looks, WARNED of it while there is a warning. Where pairs do not agree yet, or an
            alarm may be over, each is looked at
        stops: whether an alarm is a refusal of all pairs, until the drift is gone"""

    def __init__(self, rig: CameraRig, far_m: float, period_s: float, stops: bool) -> None:
        self._health = StereoHealth(rig, far_m)
        self._judge = HealthJudge()
        self._period_s = period_s
        self._stops = stops
        self._next_s = -math.inf

    @property
    def drift(self) -> Drift | None:
        """What the last look found; None before there was anything to see."""
        return self._health.drift

    @property
    def verdict(self) -> Verdict:
        """The present one."""
        return self._judge.verdict

    def values(self) -> dict[str, object]:
        """For the diagnostics: the state, and the drift in degrees, pixels and metres, with how well it is known."""
        drift = self.drift
        if drift is None:
            return {"health": "unknown: too few points that both cameras see"}
        state = "alarm" if self.verdict.alarms else "warning" if self.verdict.warns else "ok"
        return {"health": state} | {f"drift_{name}": round(value, 3) for name, value in asdict(drift).items()}

    @property
    def refusal(self) -> str:
        """Why pairs are refused, "" while they are not."""
        return self.verdict.text if self._stops and self.verdict.alarms else ""

    def look(self, pair: StereoPair, now_s: float) -> bool:
        """Looks at `pair` where that is due. now_s: seconds on a clock that never runs back. Returns: whether it did.

        Raises: ValueError where the images are not of the camera's size."""
        drift = self.drift
        open_ = drift is not None and (drift.pairs < MIN_PAIRS or not self._health.settled or self.verdict.alarms)
        if now_s < self._next_s and not (open_ and self._health.points >= FEW_POINTS):
            return False
        verdict = self._judge.judge(self._health.look(pair.left, pair.right))
        self._next_s = now_s + self._period_s * (WARNED if verdict.warns else 1.0)
        return True
