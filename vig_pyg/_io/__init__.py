"""Safe input and output: readers of untrusted files with limits, checks of entries, escaped text, and atomic output."""
