"""What the child may see: channels, launch plan, launch gate, key sources, settings files."""
