"""The formulas of the guides as pure functions: leaves in, a figure and its derivation out."""
