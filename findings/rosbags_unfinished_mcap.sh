#!/usr/bin/env bash
# rosbags 0.11.9, mcap 1.6.0: a recording whose recorder was killed is whole up to the last chunk for one reader, and no
# file at all for the other.
#
# Guess:    MCAP is written in chunks so that a file without an end can be read up to its last whole chunk, and readers of
#           bags do so: a robot that lost power has its most important recording in such a file.
# Seen:     mcap's own non-seeking reader gives every message of the finished chunks (`StreamReader`,
#           `NonSeekingReader`). `rosbags.highlevel.AnyReader` and its MCAP reader refuse the whole file as having no end.
# So what:  after a crash, repair first (read with mcap's NonSeekingReader and write again, or `mcap recover`), then
#           convert or analyse with rosbags.
#
# Exits with 0 while this holds, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDING_PYTHON:-$folder/venv/bin/python}
if [ -z "${FINDING_PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  "$python" -m pip install --quiet "mcap==1.6.0" "rosbags==0.11.9"
fi

cd "$folder"
"$python" - <<'PYTHON'
import sys
from pathlib import Path

from mcap.reader import NonSeekingReader
from mcap.writer import Writer
from rosbags.highlevel import AnyReader

MESSAGES = 200


def record(path: Path, finished: bool) -> None:
    with path.open("wb") as stream:
        writer = Writer(stream, chunk_size=1024)
        writer.start(profile="ros2", library="finding")
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data")
        channel = writer.register_channel("/chatter", "cdr", schema, {"offered_qos_profiles": ""})
        cdr = b"\x00\x01\x00\x00" + (6).to_bytes(4, "little") + b"hello\x00"
        for i in range(MESSAGES):
            writer.add_message(channel, log_time=i, publish_time=i, data=cdr)
        if finished:
            writer.finish()
        # else: as a killed recorder leaves it, without the last chunk, the summary and the end


def with_rosbags(path: Path) -> str:
    try:
        with AnyReader([path]) as reader:
            return str(sum(1 for _ in reader.messages()))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def with_mcap(path: Path) -> int:
    read = 0
    with path.open("rb") as stream:
        try:
            for _ in NonSeekingReader(stream).iter_messages(log_time_order=False):
                read += 1
        except Exception as error:
            print(f"mcap ends with {type(error).__name__} after {read} messages")
    return read


whole, cut = Path("whole.mcap"), Path("cut.mcap")
record(whole, True)
record(cut, False)
seen = {path.name: (with_mcap(path), with_rosbags(path)) for path in (whole, cut)}
for name, (mcap, rosbags) in seen.items():
    print(f"{name}: mcap {mcap} messages; rosbags: {rosbags}")
holds = seen["whole.mcap"] == (MESSAGES, str(MESSAGES)) and seen["cut.mcap"][0] > MESSAGES // 2
holds = holds and not seen["cut.mcap"][1].isdecimal()
sys.exit(0 if holds else 1)
PYTHON
