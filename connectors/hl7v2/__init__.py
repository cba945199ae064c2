"""HL7 v2 over MLLP: hospitals' ADT feeds in, acknowledged only after the broker has them.

`mllp` knows frames, `er7` knows segments, `mapping` knows what an ADT message means, `ack` knows
what to answer, `server` joins them and `process` runs them.
"""
