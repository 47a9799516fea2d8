"""``python -m cachewright`` is the ``cachewright`` command."""

from cachewright.cli.main import main

main()
