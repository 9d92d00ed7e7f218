"""`python -m rarrl`: the command line, where its script is not on PATH."""

from rarrl.cli import main

if __name__ == "__main__":
    main()
