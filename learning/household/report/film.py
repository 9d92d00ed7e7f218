"""A mission as a short GIF: the home from above, beside it the image of the robot's left camera."""

from __future__ import annotations

import math
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rarrl.report.figure import BAD, GOOD, INK, ROLE_COLOURS, SUBGOALS

from .trace import OF_OBSTACLE, MissionResult, Trace, TracedDecision

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

STEP_S = 0.4  # simulated seconds between two pictures
FRAME_MS = 100  # on the screen: four times the speed of the mission
SHOWN_STEPS = 4  # pictures in which a call is seen at least: most are over before the next one
MOST_FRAMES = 190  # longer missions are shown faster
MOST_BYTES = 3_000_000  # of the file, so that a page with it loads quickly
COLOURS = 112  # of the palette, at first; fewer where the file would be too large
END_MS = 3000  # how long the last picture stays
# The layout, pixels.
_MAP = 452  # width of the map
_CAMERA = (320, 240)  # the camera's picture
_EDGE = 10
_TOP = 44
_FOOT = 98
_WIDTH = _MAP + _CAMERA[0] + 3 * _EDGE
_PERSON = "#d95f02"
_PERSON_M = 0.25  # radius
_ROBOT = "#08306b"
_ROBOT_M = 0.25  # radius
_SIGHT = "#cfe3f5"
_TARGET = "#f0a202"
_FLOOR = "#f4f2ee"
_FURNITURE = "#d8c9ae"
_WALL = "#4d4d4d"
_SOFT = "#666666"
_REST = "#eeeeee"
_DOOR = "#8c510a"
_THINKS = "#08519c"
# Kept as they are when the GIF's colours are chosen; the rest of the palette is the camera's.
_OWN = (
    *("#ffffff", "#bdbdbd", "#9a9a9a", "#4a4030", "#a69d8a", INK, GOOD, BAD, _PERSON, _ROBOT, _SIGHT, _TARGET, _FLOOR),
    *(_FURNITURE, _WALL, _SOFT, _REST, _DOOR, *ROLE_COLOURS.values()),
)
_WRITES = {"planner": "thinks: writes a plan", "verifier": "thinks: checks the plan"}


def gif(trace: Trace, result: MissionResult | None = None, most_bytes: int = MOST_BYTES) -> bytes:
    """The film of `trace`, at most `most_bytes`: as many pictures, and colours in them, as fit."""
    from PIL import Image

    step_s = max(STEP_S, round(trace.duration_s / MOST_FRAMES, 1))

    pictures = [Image.fromarray(picture) for picture in frames(trace, result, step_s)]
    for colours, every in ((COLOURS, 1), (80, 1), (80, 2), (56, 2), (40, 4)):
        data = _encoded(pictures[:-1][::every] + pictures[-1:], colours, FRAME_MS * every)
        if len(data) <= most_bytes:
            break

    return data


def frames(trace: Trace, result: MissionResult | None, step_s: float = STEP_S) -> Iterator[np.ndarray]:
    """(height, width, 3) uint8 RGB each, `step_s` simulated seconds apart; the last one says how it ended."""
    film = _Film(trace, result, step_s)
    for t in np.arange(0.0, trace.duration_s + step_s, step_s).tolist():
        yield film.draw(min(t, trace.duration_s))
    yield film.draw(trace.duration_s, over=True)


def _encoded(pictures: list[Image.Image], colours: int, frame_ms: int) -> bytes:
    from PIL import Image, ImageColor

    sample = pictures[:: max(1, len(pictures) // 12)]
    sheet = Image.new("RGB", (_CAMERA[0], _CAMERA[1] * len(sample)))
    for index, picture in enumerate(sample):
        sheet.paste(picture.crop((_MAP + 2 * _EDGE, _TOP, _WIDTH - _EDGE, _TOP + _CAMERA[1])), (0, index * _CAMERA[1]))
    own = [ImageColor.getrgb(colour) for colour in dict.fromkeys(_OWN)]
    seen = sheet.quantize(colours - len(own), method=Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in own for value in colour[:3]] + seen[: 3 * (colours - len(own))])
    flat = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    buffer = BytesIO()
    times = [frame_ms] * (len(flat) - 1) + [END_MS]
    flat[0].save(buffer, "GIF", save_all=True, append_images=flat[1:], duration=times, loop=0, optimize=True)

    return buffer.getvalue()


class _Film:
    def __init__(self, trace: Trace, result: MissionResult | None, step_s: float) -> None:
        from PIL import Image, ImageDraw

        self.trace = trace
        self.result = result
        self.speed = round(step_s / (FRAME_MS / 1000))
        self.shown_s = SHOWN_STEPS * step_s
        used = {word for text in trace.subgoal for word in text.split()[1:]}
        self.labels = [
            (name, box) for name, box in zip(trace.home.names, trace.home.boxes, strict=True) if name in used
        ]
        self.scale = 2 * _MAP / (trace.home.size[0] + 0.2)  # drawn twice as large, then reduced: smooth edges
        self.map_size = (2 * _MAP, math.ceil((trace.home.size[1] + 0.2) * self.scale))
        self.height = _TOP + max(self.map_size[1] // 2, _CAMERA[1] + 40) + _FOOT
        self.base = Image.new("RGB", self.map_size, _FLOOR)
        pen = ImageDraw.Draw(self.base)
        for box in trace.home.boxes:
            pen.rectangle(self._pixels(box), fill=_FURNITURE)
        self.camera_rows = [(int(step), index) for index, step in enumerate(trace.picture_steps)]
        self._camera: tuple[int, Image.Image] | None = None

    def draw(self, t: float, over: bool = False) -> np.ndarray:
        """The picture at `t` seconds of the mission."""
        from PIL import Image, ImageDraw

        trace = self.trace
        row = max(int(np.searchsorted(trace.t_s, t + 1e-6)) - 1, 0)
        called = [d for d in trace.decisions if d.action == "think" and d.t0 <= t < max(d.t1, d.t0 + self.shown_s)]
        thinks = called[-1] if called else None
        whole = Image.new("RGB", (_WIDTH, self.height), "white")
        above = self._map(row, thinks is not None).resize((_MAP, self.map_size[1] // 2), Image.Resampling.LANCZOS)
        whole.paste(above, (_EDGE, _TOP))
        eye = self._left_camera(row)
        if eye is not None:
            whole.paste(eye, (_MAP + 2 * _EDGE, _TOP))
        pen = ImageDraw.Draw(whole)
        self._captions(pen)
        goal = _fitted(f"\u201c{trace.goal}\u201d", _font(17, True), _WIDTH - 150)
        pen.text((_EDGE, 12), goal, font=_font(17, True), fill=INK)
        pen.text((_WIDTH - _EDGE, 14), f"{t:.0f} s ({self.speed}x)", font=_font(14), fill=_SOFT, anchor="ra")
        self._state(pen, row, thinks, over)
        self._time(pen, t)

        return np.asarray(whole)

    def _map(self, row: int, thinking: bool) -> Image.Image:
        from PIL import ImageDraw

        trace = self.trace
        picture = self.base.copy()
        pen = ImageDraw.Draw(picture)
        x, y, heading = trace.pose[row].tolist()
        clear = trace.clear_m[row]
        if len(clear) and np.isfinite(clear).all():
            angles = heading + trace.bearings
            ends = zip((x + clear * np.cos(angles)).tolist(), (y + clear * np.sin(angles)).tolist(), strict=True)
            pen.polygon([self._pixel(x, y), *(self._pixel(*end) for end in ends)], fill=_SIGHT)
            for box in trace.home.boxes:
                pen.rectangle(self._pixels(box), fill=_FURNITURE)

        target = trace.target[row]
        for box in trace.home.boxes:
            if box[0] <= target[0] <= box[2] and box[1] <= target[1] <= box[3]:
                pen.rectangle(self._pixels(box), outline=_TARGET, width=8)
        for box in trace.home.walls:
            pen.rectangle(self._pixels(box), fill=_WALL)
        if not trace.door_open[row]:
            pen.rectangle(self._pixels(trace.home.door), fill=_DOOR)
        for name, box in self.labels:  # the others would only get into each other's way
            self._label(pen, trace.home.words.get(name, name), box)
        way = [self._pixel(*point) for point in trace.pose[: row + 1, :2].tolist()]
        if len(way) > 1:
            pen.line(way, fill=_ROBOT, width=5, joint="curve")
        for px, py in trace.people[row].tolist():
            self._disc(pen, px, py, _PERSON_M, _PERSON)
        stopped = trace.gate[row] == "STOP" and trace.gate_reason[row] in OF_OBSTACLE
        self._disc(pen, x, y, _ROBOT_M, BAD if stopped else (_THINKS if thinking else _ROBOT))
        nose = self._pixel(x + _ROBOT_M * math.cos(heading), y + _ROBOT_M * math.sin(heading))
        pen.line([self._pixel(x, y), nose], fill="white", width=6)

        return picture

    def _captions(self, pen: ImageDraw.ImageDraw) -> None:
        """Under the camera's image: what the colours mean."""
        of_map = ((_ROBOT, "robot"), (_PERSON, "person"), (_SIGHT, "seen free"), (_TARGET, "sub-goal"))
        states = ((_THINKS, "robot thinks"), (BAD, "gate stops it"), (_DOOR, "shut door"))
        for line, captions in enumerate((of_map, states)):
            x, y = _MAP + 2 * _EDGE, _TOP + _CAMERA[1] + 5 + 18 * line
            for colour, text in captions:
                pen.rectangle((x, y + 3, x + 9, y + 12), fill=colour)
                pen.text((x + 14, y), text, font=_font(12), fill=_SOFT)
                x += 32 + int(_font(12).getlength(text))

    def _state(self, pen: ImageDraw.ImageDraw, row: int, thinks: TracedDecision | None, over: bool) -> None:
        """Two lines under the pictures: what it does now; and the plan that the language model wrote last."""
        trace = self.trace
        y = self.height - _FOOT + 8
        t = float(self.trace.t_s[row]) if len(self.trace.t_s) else 0.0
        if over and self.result is not None:
            done = self.result.success
            text, colour = ("done" if done else f"not done: {self.result.end_reason}"), GOOD if done else BAD
        elif thinks is not None:
            text, colour = _WRITES.get(thinks.role, "thinks"), ROLE_COLOURS[(thinks.role, max(thinks.level, 1))]
        elif trace.gate[row] == "STOP" and trace.gate_reason[row] in OF_OBSTACLE:
            text, colour = f"gate: stop ({trace.gate_reason[row]})", BAD
        else:
            text, colour = self._doing(trace.subgoal[row]), INK

        pen.text((_EDGE, y), text, font=_font(15, True), fill=colour)
        if trace.held[row]:
            held = f"in its hand: {self._words(trace.held[row])}"
            pen.text((_WIDTH - _EDGE, y), held, font=_font(14), fill=INK, anchor="ra")
        plans = [d.answer for d in trace.decisions if d.role == "planner" and d.answer and d.t1 <= t + 1e-6]
        if plans:
            wrote = _fitted(f"it wrote: {plans[-1]}", _font(12), _WIDTH - 2 * _EDGE)
            pen.text((_EDGE, y + 22), wrote, font=_font(12), fill=_SOFT)

    def _doing(self, subgoal: str) -> str:
        verb, *names = subgoal.split() or [""]
        if not verb:
            return ""
        where = f" \u2192 {self._words(names[1])}" if len(names) > 1 else ""
        return f"{SUBGOALS.get(verb, (verb, ''))[0]}: {self._words(names[0])}{where}"

    def _time(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        """A bar along the bottom: how far it is, when it thought, when the gate stopped it; and its legend."""
        trace = self.trace
        y = self.height - 36
        text = "time, from left to right; marks above: it thought (light: at level 1); red below: the gate stopped it"
        pen.text((_EDGE, y + 14), _fitted(text, _font(12), _WIDTH - 2 * _EDGE), font=_font(12), fill=_SOFT)
        wide = (_WIDTH - 2 * _EDGE) / max(trace.duration_s, 1e-9)

        def across(t0: float, t1: float) -> tuple[float, float]:
            return _EDGE + t0 * wide, max(_EDGE + min(t1, t) * wide, _EDGE + t0 * wide + 1)

        pen.rectangle((_EDGE, y, _WIDTH - _EDGE, y + 10), fill=_REST)
        x0, x1 = across(0.0, t)
        pen.rectangle((x0, y, x1, y + 10), fill="#bdbdbd")

        for decision in trace.decisions:
            if decision.action == "think" and decision.t0 <= t:
                x0, x1 = across(decision.t0, decision.t1)
                pen.rectangle(
                    (x0, y, max(x1, x0 + 3), y + 5), fill=ROLE_COLOURS[(decision.role, max(decision.level, 1))]
                )

        for t0, t1, _ in trace.stops():
            if t0 <= t:
                x0, x1 = across(t0, t1)
                pen.rectangle((x0, y + 5, x1, y + 10), fill=BAD)

    def _left_camera(self, row: int) -> Image.Image | None:
        import cv2
        from PIL import Image

        index = next((index for step, index in reversed(self.camera_rows) if step <= row), None)
        if index is None:
            return None

        if self._camera is None or self._camera[0] != index:
            smooth = cv2.medianBlur(np.ascontiguousarray(self.trace.picture(index)), 3)  # noise does not compress
            self._camera = index, Image.fromarray(smooth).resize(_CAMERA)
        return self._camera[1]

    def _words(self, name: str) -> str:
        return self.trace.home.words.get(name, name)

    def _label(self, pen: ImageDraw.ImageDraw, text: str, box: np.ndarray) -> None:
        x0, y0, x1, y1 = self._pixels(box)
        font = _font(20)
        half = font.getlength(text) / 2 + 6
        low, high = self.trace.home.room(float(box[0] + box[2]) / 2)
        x = min(max((x0 + x1) / 2, self._pixel(low, 0)[0] + half), self._pixel(high, 0)[0] - half)
        y = min(max((y0 + y1) / 2, 14), self.map_size[1] - 14)
        pen.text((x, y), text, font=font, fill="#4a4030", anchor="mm", stroke_width=3, stroke_fill=_FURNITURE)

    def _disc(self, pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: str) -> None:
        (px, py), r = self._pixel(x, y), radius * self.scale
        pen.ellipse((px - r, py - r, px + r, py + r), fill=colour, outline="white", width=3)

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        return (x + 0.1) * self.scale, self.map_size[1] - (y + 0.1) * self.scale

    def _pixels(self, box: np.ndarray) -> tuple[float, float, float, float]:
        (x0, y1), (x1, y0) = self._pixel(float(box[0]), float(box[1])), self._pixel(float(box[2]), float(box[3]))
        return x0, y0, x1, y1


_fonts: dict[tuple[int, bool], ImageFont.FreeTypeFont] = {}


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu, which comes with matplotlib."""
    if (size, bold) not in _fonts:
        import matplotlib
        from PIL import ImageFont

        folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        _fonts[size, bold] = ImageFont.truetype(folder / f"DejaVuSans{'-Bold' * bold}.ttf", size)
    return _fonts[size, bold]


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`text` on one line, cut to `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
