"""The proof that a billing mode holds with the agent and the Claude Code that are installed.

Each channel is planted twice in a scratch home, once under the plain agent and once under the
bridge, with fake credentials; what arrived at endpoints and proxies on loopback is the outcome.
What only the wire guard holds is tried by the agent's own shell, which also tells what it found.
`acp-bridge prove` shows it, the tests of the leak matrix stand on the same parts.
"""
