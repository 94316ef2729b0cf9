"""State dicts and their files: reading without running anything, names in three formats, checks, comparisons."""
