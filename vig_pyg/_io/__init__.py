"""What comes from strangers and what goes to files: bounded readers, checked entries, safe text, complete outputs."""
