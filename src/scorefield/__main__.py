"""`python -m scorefield`: the command line."""

from scorefield.cli import main

if __name__ == "__main__":
    main()
