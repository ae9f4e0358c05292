"""`python -m rmail_kernel.cli`: the `rmail` command of this very interpreter."""

import sys

from rmail_kernel.cli import main

sys.exit(main())
