"""What a user can look at: which runs there are and what is known about each."""
