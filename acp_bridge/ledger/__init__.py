"""What is kept on disk about runs."""
