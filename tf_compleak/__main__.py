"""`python -m tf_compleak`: the same as the console command `tf-compleak`."""

import sys

from tf_compleak.cli.main import main

sys.exit(main())
