"""Declarative device descriptions and the decoder from raw words or JSON to values."""
