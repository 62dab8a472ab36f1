"""The plant side: reads devices, keeps every reading, signs hours and months, talks to the centre.

Start at `service.py` (what runs), `pipeline.py` (the two hand-offs) and `syncing.py` (the third).
"""
