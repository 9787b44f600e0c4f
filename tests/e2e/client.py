"""A small OpenTimestamps client over Debian's python3-opentimestamps and python3-bitcoinlib.

usage: client.py stamp URL FILE | upgrade FILE.ots | verify FILE
Exit code 0: done; 1: not complete or not proven. HOME names the folder with .bitcoin/bitcoin.conf.
"""

import os
import sys

import bitcoin
import bitcoin.rpc
from opentimestamps.calendar import CommitmentNotFoundError, RemoteCalendar
from opentimestamps.core.notary import BitcoinBlockHeaderAttestation, PendingAttestation
from opentimestamps.core.op import OpAppend, OpSHA256
from opentimestamps.core.serialize import StreamDeserializationContext, StreamSerializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile


def read(path):
    with open(path, "rb") as f:
        return DetachedTimestampFile.deserialize(StreamDeserializationContext(f))


def write(path, proof):
    with open(path, "wb") as f:
        proof.serialize(StreamSerializationContext(f))


def nodes(timestamp):
    yield timestamp
    for below in timestamp.ops.values():
        yield from nodes(below)


def complete(timestamp):
    return any(isinstance(a, BitcoinBlockHeaderAttestation) for _, a in timestamp.all_attestations())


def stamp(url, path):
    with open(path, "rb") as f:
        proof = DetachedTimestampFile.from_fd(OpSHA256(), f)
    salted = proof.timestamp.ops.add(OpAppend(os.urandom(16))).ops.add(OpSHA256())
    salted.merge(RemoteCalendar(url).submit(salted.msg, timeout=10))
    write(path + ".ots", proof)
    return 0


def upgrade(path):
    proof = read(path)
    for node in list(nodes(proof.timestamp)):
        for pending in [a for a in node.attestations if isinstance(a, PendingAttestation)]:
            try:
                node.merge(RemoteCalendar(pending.uri).get_timestamp(node.msg, timeout=10))
            except CommitmentNotFoundError as reason:
                print("not yet:", reason.reason)
    write(path, proof)
    return 0 if complete(proof.timestamp) else 1


def verify(path):
    proof = read(path + ".ots")
    with open(path, "rb") as f:
        if proof.file_hash_op.hash_fd(f) != proof.file_digest:
            print("another file")
            return 1
    bitcoin.SelectParams("regtest")
    node = bitcoin.rpc.Proxy()
    best = node.getblockcount()
    for message, attestation in proof.timestamp.all_attestations():
        if isinstance(attestation, BitcoinBlockHeaderAttestation) and attestation.height <= best:
            header = node.getblockheader(node.getblockhash(attestation.height))
            time = attestation.verify_against_blockheader(message, header)
            print("block", attestation.height, "time", time)
            return 0
    print("nothing to verify")
    return 1


sys.exit({"stamp": stamp, "upgrade": upgrade, "verify": verify}[sys.argv[1]](*sys.argv[2:]))
