"""``python -m pybuf.bench.ratios``."""

import sys

from pybuf.bench.ratios.table import main

if __name__ == "__main__":
    sys.exit(main())
