"""Command lines that need more than one room."""
