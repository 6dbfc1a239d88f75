"""The agent as a process: finding it, starting it, its pipes, and its certain end."""
