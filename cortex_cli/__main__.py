"""`python -m cortex.cli` is `cortex`."""

from .main import main

main()
