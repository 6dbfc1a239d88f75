"""What the bridge listens with on 127.0.0.1.

`http` is the listener that everything here shares, `bound` a socket for it that is there before the
event loop. `telemetry` receives Claude Code's own events, and `forwarding` passes them on.
`endpoint` is the embedded Messages endpoint, `sink` the proxy that refuses to forward, `scratch`
the home they are used with.
"""
