"""``python -m bptt_native`` is ``bptt-native``."""

import sys

from .cli import main

sys.exit(main())
