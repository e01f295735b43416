"""The floor under bench/bridge.ts: takes messages from a ZeroMQ socket and answers each with a few bytes, nothing else."""

import sys

import zmq

socket = zmq.Context().socket(zmq.ROUTER)
socket.bind(sys.argv[1])
while True:
    sender, *_ = socket.recv_multipart(copy=False)
    socket.send_multipart([sender, b"ok"])
