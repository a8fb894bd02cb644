"""The journey of a release: from a version's name to all users, through gates, and back."""
