"""`python -m loopwright.cli`: the command `lw` without its console script."""

from loopwright.cli.words import main

if __name__ == "__main__":
    main()
