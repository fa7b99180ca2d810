"""Migrations: how the tables came to be as they are, a file in `versions` for each step."""
