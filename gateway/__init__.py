"""The plant side: reads devices, keeps and seals readings, uploads them when it can."""
