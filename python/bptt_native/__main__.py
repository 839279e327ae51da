"""``python -m bptt_native`` is ``bptt-native``."""

import sys

from .cli.main import main

sys.exit(main())
