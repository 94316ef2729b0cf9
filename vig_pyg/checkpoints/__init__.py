"""State dicts and their files: reading without executing code, conversion of names, checks, and comparisons."""
