"""Tidegate: a gateway between many clients and a few backends.

`tidegate.v1` is the contract, generated from proto/: messages, and the gRPC stubs of its services.
"""
