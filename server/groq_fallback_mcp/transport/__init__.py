"""The guarded stdio transport: bytes of a client in, messages for the SDK's server out, and an end by every road.

Nothing here knows tools or models. The SDK's own transport dies of a lone surrogate, buffers whatever comes and does
not end on SIGINT; this one takes its place and speaks both protocol eras, as it only frames messages.
"""
