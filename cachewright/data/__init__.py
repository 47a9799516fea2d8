"""Service models of what is ours beyond AWS, in botocore's form. ``python -m cachewright.data.generate`` writes them."""
