"""The centre: the log, the plants' pages, declaring and reviewing."""
