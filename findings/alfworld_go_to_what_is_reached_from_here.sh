#!/usr/bin/env bash
# alfworld 0.4.2, textworld 1.7.0: "go to drawer 2" answers "Nothing happens." where drawer 2 can be used at once.
#
# Guess:    a receptacle that one can go to from elsewhere can be gone to from anywhere; "Nothing happens." means that
#           the command was wrong. And what is seen on a receptacle can be examined, as "help" says.
# Seen:     receptacles share locations (in 108 of the 140 valid_seen games). GotoLocation from a location to itself
#           changes nothing, so the planner under TextWorld drops it: "go to" the other drawer there answers "Nothing
#           happens.", and "open" it works. "examine" works on receptacles here and on what is in the hand, on nothing
#           else: in alfred.pddl the variables of examineObject are separated by a comma, which PDDL does not know.
# So what:  an agent takes the answer for a failure, and looks for another way to a drawer that it stands at. After
#           "Nothing happens." to "go to X", try "examine X".
#
# Exits with 0 while this holds, with 1 when it has changed. Compiles two packages unless pip has the wheels: minutes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${ALFWORLD_PYTHON:-$folder/venv/bin/python}
if [ -z "${ALFWORLD_PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  "$python" -m pip install --quiet "textworld[pddl]==1.7.0" "alfworld==0.4.2"
fi

cd "$folder"
ALFWORLD_DATA="$folder/data" "$python" - <<'PYTHON'
import json
import sys
from pathlib import Path

import textworld
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
from alfworld.info import ALFRED_PDDL_PATH, ALFRED_TWL2_PATH

PROBLEM = """(define (problem p) (:domain alfred) (:objects
  agent1 - agent  loc_start - location  loc_bar_1 - location  loc_bar_2 - location
  Drawer_bar_1 - receptacle  Drawer_bar_2 - receptacle  Desk_bar_3 - receptacle  Pen_bar_4 - object
  PenType - otype  DrawerType - rtype  DeskType - rtype  SinkType - rtype  SinkBasinType - rtype  MicrowaveType - rtype
  FridgeType - rtype  KnifeType - otype  ButterKnifeType - otype)
(:init (= (total-cost) 0) (atLocation agent1 loc_start)
  (receptacleType Drawer_bar_1 DrawerType) (receptacleType Drawer_bar_2 DrawerType) (receptacleType Desk_bar_3 DeskType)
  (receptacleAtLocation Drawer_bar_1 loc_bar_1) (receptacleAtLocation Drawer_bar_2 loc_bar_1)
  (receptacleAtLocation Desk_bar_3 loc_bar_2) (openable Drawer_bar_1) (openable Drawer_bar_2)
  (objectType Pen_bar_4 PenType) (pickupable Pen_bar_4) (inReceptacle Pen_bar_4 Desk_bar_3)
  (objectAtLocation Pen_bar_4 loc_bar_2) (canContain DrawerType PenType) (canContain DeskType PenType))
(:goal (and (exists (?r - receptacle ?o - object)
  (and (inReceptacle ?o ?r) (objectType ?o PenType) (receptacleType ?r DrawerType)))) ) )"""
game = {
    "pddl_domain": Path(ALFRED_PDDL_PATH).read_text(),
    "grammar": Path(ALFRED_TWL2_PATH).read_text(),
    "pddl_problem": PROBLEM,
}
Path("game.tw-pddl").write_text(json.dumps(game))
env = textworld.start("game.tw-pddl", textworld.EnvInfos(won=True), wrappers=[AlfredDemangler(shuffle=False)])
env.reset()
said = {}
for command in ("go to drawer 1", "go to drawer 2", "examine drawer 2", "open drawer 2", "go to desk 1", "examine pen 1",
                "take pen 1 from desk 1", "examine pen 1"):
    answer = env.step(command)[0].feedback
    print(f"> {command}\n{answer}")
    said.setdefault(command, []).append(answer)

nothing = "Nothing happens."
holds = (
    said["go to drawer 2"] == [nothing]
    and said["examine drawer 2"] == ["The drawer 2 is closed."]
    and said["open drawer 2"] != [nothing]
    and said["examine pen 1"] == [nothing, "There's nothing special about pen 1."]
)
print("as found" if holds else "this has changed")
sys.exit(not holds)
PYTHON
