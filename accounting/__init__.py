"""Parameter sets, formulas, and the composition of a month's body from logged statements."""
