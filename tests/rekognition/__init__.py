"""A Rekognition on loopback: what face_index is tested with.

It speaks JSON 1.1 as the AWS SDK sends it. `python -m tests.rekognition` runs it as a process,
`tests.rekognition.fixtures` in a thread. Pictures that it finds faces in are drawn by
`tests.rekognition.portraits`; in all others it finds none.

    with in_process({"tps": {"*": 50}, "faults": [
        {"operation": "IndexFaces", "code": "lost", "when": "after", "rate": 0.02},
    ]}) as service:
        environment = {**os.environ, **service.environment()}   # for whatever uses the SDK
        ...
        service.calls("IndexFaces")["billed"]                   # see `remote` for all there is

The service itself, from the way in to what it holds: `server` (HTTP), `control` (its other
side, for tests), `service` (one call: quota, faults, effect, bill), `operations`, `store`.
"""
