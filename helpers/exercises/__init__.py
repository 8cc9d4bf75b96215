"""Exercises that check themselves: an engine, and a file for each notebook."""
