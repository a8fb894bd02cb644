"""3. What screens text: normalise, match, hold back, decide."""
