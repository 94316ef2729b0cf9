"""Input from strangers and output to files: bounded readers, checked entries, safe text, complete outputs."""
