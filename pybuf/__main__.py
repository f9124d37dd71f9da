"""`python -m pybuf` is the command `pybuf`."""

from pybuf.cli import main

if __name__ == "__main__":
    main()
