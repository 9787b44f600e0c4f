"""Reads proofs with python-opentimestamps and says what it made of them.

One request a line: "file HEX", or "bare MESSAGEHEX HEX" ("-" is empty). One JSON
object a line back: valid, error, attestations as [message, text], and the proof
as the library writes it.
"""
import json
import sys
import warnings

from opentimestamps.core.notary import UnknownAttestation
from opentimestamps.core.serialize import BytesDeserializationContext, BytesSerializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile, Timestamp

warnings.simplefilter("ignore")
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)


def unhex(s):
    return b"" if s == "-" else bytes.fromhex(s)


def text(a):
    if isinstance(a, UnknownAttestation):
        return "UnknownAttestation(%s, %s)" % (a.TAG.hex(), a.payload.hex())
    return repr(a)


def answer(words):
    if words[0] == "file":
        ctx = BytesDeserializationContext(unhex(words[1]))
        proof = DetachedTimestampFile.deserialize(ctx)
        stamp = proof.timestamp
    else:
        ctx = BytesDeserializationContext(unhex(words[2]))
        proof = stamp = Timestamp.deserialize(ctx, unhex(words[1]))
        ctx.assert_eof()
    out = BytesSerializationContext()
    proof.serialize(out)
    return {
        "valid": True,
        "attestations": sorted([m.hex(), text(a)] for m, a in stamp.all_attestations()),
        "written": out.getbytes().hex(),
    }


for line in sys.stdin:
    try:
        r = answer(line.split())
    except Exception as e:
        r = {"valid": False, "error": "%s: %s" % (type(e).__name__, str(e)[:200])}
    print(json.dumps(r))
