"""`python -m kickcore` and the console script `kickcore`."""

import sys

from kickcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
