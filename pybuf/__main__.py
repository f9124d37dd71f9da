"""`python -m pybuf` is the command `pybuf`."""

from pybuf.cli import main

main()
