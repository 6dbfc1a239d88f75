"""What the bridge listens with on 127.0.0.1.

`http` is the listener that everything here shares; `endpoint` is the embedded Messages endpoint,
`sink` the proxy that refuses to forward, `scratch` the home they are used with.
"""
