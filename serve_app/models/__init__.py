"""6. Model folders: find, verify, load; the nano models and how they are made."""
