"""Whether the twin says what TextWorld says, command by command: all walkthroughs, and commands drawn at random.

    python benchmarks/alfworld_twin.py --games GAMES [--n 140] [--random 12] [--json FILE]

About 5 s a game, nearly all of it TextWorld's."""

import argparse
import random
import time
from collections import Counter
from pathlib import Path

from rarrl.results import Figure, make_results, write_results
from rarrl_sim_envs.alfworld.games import Game, games_folder, read_games
from rarrl_sim_envs.alfworld.textworld_game import TextWorldGame
from rarrl_sim_envs.alfworld.twin import Twin

SPLIT = "valid_seen"


class Compared:
    """A game played in both. differences: what was not said alike. seconds: of processor time, by what was done (reset,
    step) and engine (TextWorld, the twin)."""

    def __init__(self, game: Game, drawn: int, seed: int) -> None:
        self.commands = self.resets = 0
        self.differences: list[str] = []
        self.seconds: Counter[tuple[str, int]] = Counter()
        self._game = game
        self._engines = (TextWorldGame(game), Twin(game))
        self._both("reset")
        for command in game.walkthrough:
            self._both(command)
        self.won = self._engines[1].won

        if drawn:
            self._both("reset")
        rng = random.Random(seed)
        for _ in range(drawn):
            self._both(self._draw(rng))

    def _draw(self, rng: random.Random) -> str:
        """A command: half of the time one at which something happens, and rather not another way."""
        twin = self._engines[1]
        assert isinstance(twin, Twin)
        a, b = rng.choice(twin.names), rng.choice(twin.names)
        any_one = rng.choice(
            [f"go to {a}", f"open {a}", f"examine {a}", f"take {a} from {b}", f"move {a} to {b}", f"use {a}", "look",
             f"heat {a} with {b}", f"clean {a} with {b}", f"cool {a} with {b}", f"slice {a} with {b}", "inventory"]
        )  # fmt: skip
        possible = twin.possible()
        acts = [each for each in possible if not each.startswith("go to")]
        return rng.choice([rng.choice(acts), rng.choice(possible), any_one])

    def _both(self, command: str) -> None:
        said = []
        for number, engine in enumerate(self._engines):
            began = time.process_time()
            said.append((engine.reset() if command == "reset" else engine.step(command), engine.won))
            self.seconds["reset" if command == "reset" else "step", number] += time.process_time() - began
        self.commands += command != "reset"
        self.resets += command == "reset"
        if said[0] != said[1]:
            self.differences.append(f"{self._game.name}: {command}: {said[0]} but {said[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=Path, help="folder of the games")
    parser.add_argument("--n", type=int, default=140, help="at most so many games")
    parser.add_argument("--random", type=int, default=12, help="commands drawn at random in each game")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    games = read_games(games_folder(arguments.games), SPLIT, n=arguments.n)
    compared = []
    for number, game in enumerate(games):
        compared.append(Compared(game, arguments.random, number))
        for line in compared[-1].differences:
            print(line, flush=True)
    commands = sum(each.commands for each in compared)
    different = sum(len(each.differences) for each in compared)
    seconds = sum((each.seconds for each in compared), Counter())
    times = {"reset": sum(each.resets for each in compared), "step": commands}
    took_ms = {key: 1e3 * total / times[key[0]] for key, total in seconds.items()}
    won = sum(each.won for each in compared)
    print(f"{commands} commands in {len(games)} games, {different} answered differently; walkthroughs that win: {won}")
    for what in times:
        print(f"{what}: TextWorld {took_ms[what, 0]:.1f} ms, the twin {took_ms[what, 1]:.3f} ms")
    if arguments.json:
        figures = {
            "commands_compared": Figure(commands, "1", commands),
            "commands_different": Figure(different, "1", commands),
            "walkthroughs_won": Figure(won / len(games), "1", len(games)),
        }
        for (what, engine), value in took_ms.items():
            figures[f"{('textworld', 'twin')[engine]}_{what}_ms"] = Figure(round(value, 4), "ms", times[what])
        write_results(arguments.json, make_results("python benchmarks/alfworld_twin.py --games GAMES", 0, figures, {}))


if __name__ == "__main__":
    main()
