"""What makes a loop learn again: for now the declarations; the triggers that act on them are built on it."""
