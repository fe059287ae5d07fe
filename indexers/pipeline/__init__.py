"""The encode pipeline: render, prepare, bucket, forward on every device, write, mark.

    render threads ─► prepare threads ─► pool, bucketed by patches ─► one thread per device ─┐
          └────────► one thread for the encoders without a device ───────────────────────────┴─► writers: upsert, mark

At most so many units are under way; a unit whose points are written and marked makes room for the next one. The steps
are plain functions in `encode` and `batches`, the writer is `write.Writer`: another engine can run them elsewhere.
"""
