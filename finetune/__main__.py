"""``torchrun --nproc-per-node 8 -m finetune WORDS``: ``xlmr WORDS`` by several ranks. Alone it is ``xlmr`` itself."""

import os
import sys

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a rank that is gone is reported in a line, not by stack traces

from finetune.launcher import main  # after it: PyTorch reads the level once

sys.exit(main())
