"""`python -m theodolite` is the console script."""

from theodolite.cli import entry

if __name__ == "__main__":
    entry()
