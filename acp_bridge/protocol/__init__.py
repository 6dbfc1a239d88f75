"""The ACP stream as pure values: framing, envelopes, mode lock, evidence rules, relay core.

Bytes and a time go in, commands come out. Nothing here opens a file, knows a clock or writes a log;
`relay.RelayCore` is what a driver holds, the other modules each own one rule that it applies.
"""
