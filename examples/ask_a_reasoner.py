"""Asks a language model for a plan: five lines from a goal sentence to checked steps.

Needs: pip install 'rarrl[llama]' (the planner model comes with the package). Run: python examples/ask_a_reasoner.py
You see: the plan, and what the call took. Any server with OpenAI's chat API does as well; the answer passes the same
checks: make_reasoner("openai:http://localhost:8080/v1#qwen3").
"""

from contextlib import closing

from rarrl import Request, make_reasoner
from rarrl.types import Role

GOAL = "wash an apple and put it in the fridge"


def main() -> None:
    with closing(make_reasoner("llama")) as reasoner:
        # Level 1 is quick, level 2 takes more thought. A call that is not over after deadline_s ends as a timeout.
        answer = reasoner.ask(Request(decision=1, role=Role.PLANNER, level=1, goal=GOAL, deadline_s=10.0))

    print(f"goal: {GOAL}")
    if answer.plan is None:
        print(f"no plan: {answer.status.value} ({answer.why})")  # a refused or failed call is no exception
        return

    for number, step in enumerate(answer.plan.to_rows(), start=1):
        print(f"{number}. {' '.join(step)}")
    print(f"{answer.seconds * 1000:.0f} ms, {answer.tokens_in} tokens read, {answer.tokens_out} written")


if __name__ == "__main__":
    main()
