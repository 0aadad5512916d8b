"""What runs on the far side: `serve` carries out what a caller sends, whatever it lives in.

`process` is how an interpreter of ours becomes a worker, and `caller` its end of the socket.
"""
