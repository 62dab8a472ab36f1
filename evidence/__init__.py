"""Readings and how they are judged; statements, keys, tree and log formats; verification."""
