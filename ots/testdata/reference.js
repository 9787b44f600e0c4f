// Reads proofs with the npm library named by the first argument and says what it
// made of them, in the terms of reference.py.
'use strict'
const path = require('path')
const readline = require('readline')
const OpenTimestamps = require(process.argv[2])
const Notary = require(path.join(process.argv[2], 'src', 'notary.js'))

const hex = bytes => Buffer.from(bytes).toString('hex')

function text (a) {
  if (a instanceof Notary.PendingAttestation) return `PendingAttestation('${Buffer.from(a.uri).toString()}')`
  if (a instanceof Notary.BitcoinBlockHeaderAttestation) return `BitcoinBlockHeaderAttestation(${a.height})`
  if (a instanceof Notary.LitecoinBlockHeaderAttestation) return `LitecoinBlockHeaderAttestation(${a.height})`
  return `UnknownAttestation(${hex(a._TAG())}, ${hex(a.payload)})`
}

function collect (stamp, into) {
  for (const a of stamp.attestations) into.push([hex(stamp.msg), text(a)])
  for (const next of stamp.ops.values()) collect(next, into)
  return into
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  let r
  try {
    const proof = OpenTimestamps.DetachedTimestampFile.deserialize(Buffer.from(line.split(' ')[1], 'hex'))
    r = { valid: true, attestations: collect(proof.timestamp, []).sort(), written: hex(proof.serializeToBytes()) }
  } catch (e) {
    r = { valid: false, error: String(e) }
  }
  console.log(JSON.stringify(r))
})
