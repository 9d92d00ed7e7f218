"""Counts where things usually are in ALFWorld's train games; writes the robot's file of it.

python benchmarks/alfworld_usual.py --games GAMES [--out rarrl/data/alfworld_usual.json]
"""

import argparse
from pathlib import Path

from rarrl.files import sha256, write_json_atomic
from rarrl_sim_envs.alfworld.games import games_folder, read_games
from rarrl_sim_envs.alfworld.usual import USUAL_PATH, count_usual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=Path, help="folder of the games")
    parser.add_argument("--out", type=Path, default=USUAL_PATH)
    arguments = parser.parse_args()

    games = read_games(games_folder(arguments.games), "train")
    source = {
        "source": "ALFWorld, split train (MIT, (c) 2020 Mohit Shridhar): counts alone",
        "games": len(games),
        "games_sha256": sha256("\n".join(game.name for game in games).encode()),
        "command": "python benchmarks/alfworld_usual.py --games GAMES",
    }
    write_json_atomic(arguments.out, source | {"usual": count_usual(games)})
    print(f"{arguments.out}: {len(games)} games")


if __name__ == "__main__":
    main()
