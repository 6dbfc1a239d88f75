"""What tests share: where the real programs are, and a client that speaks ACP to them."""
