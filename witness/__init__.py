"""A witness of logs: one small process that cosigns a checkpoint only where it continues the last one it cosigned.

It keeps one row for each log and needs no centre and no centre's database. Whoever runs it should not be the one
who runs the log. Start at `judging.py` (what is cosigned) and `server.py` (how it is asked).
"""
