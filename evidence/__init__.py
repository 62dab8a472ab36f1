"""Evidence: readings and how they are judged, signed statements, keys, trees, the log's formats, verification.

Pure: data in, data out. Opens no socket, file, database, clock or random source.
"""
