"""Wire formats in protobuf; `generate.py` rewrites *_pb2.*."""
