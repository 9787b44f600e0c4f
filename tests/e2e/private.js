// What customers of an authenticated calendar run, with libraries that are not ours:
//
//	sign LIBRARY WIF MESSAGE ...      signatures of the messages, a line each
//	verify LIBRARY ADDRESS MESSAGE SIGNATURE   ends with an error unless it is one
//	stamp URL WIF FILE                writes FILE.ots
//	submit URL WIF HEX                sends a digest and prints the receipt
const fs = require('fs')
const crypto = require('crypto')
// Loaded by those who need them: only one instance of bitcore-lib may be there at a time.
function libraries () {
  const bitcoreMessage = require('bitcore-message')
  const bitcoinjsMessage = require('bitcoinjs-message')
  const { PrivateKey } = require(require.resolve('bitcore-lib', { paths: [require.resolve('bitcore-message')] }))
  const bytes = key => Buffer.from(key.bn.toString('hex').padStart(64, '0'), 'hex')
  return {
    // Its k is random.
    'bitcore-message': {
      sign: (wif, message) => bitcoreMessage(message).sign(PrivateKey.fromWIF(wif)),
      verify: (address, message, signature) => bitcoreMessage(message).verify(address, signature)
    },
    'bitcoinjs-message': {
      sign: (wif, message) => {
        const key = PrivateKey.fromWIF(wif)
        return bitcoinjsMessage.sign(message, bytes(key), key.compressed, { extraEntropy: crypto.randomBytes(32) }).toString('base64')
      },
      verify: (address, message, signature) => bitcoinjsMessage.verify(message, address, signature)
    }
  }
}

// The client and bitcore-message share an instance of bitcore-lib where no other package needs another version.
function client () {
  const from = module => require.resolve('bitcore-lib', { paths: [require.resolve(module)] })
  require('bitcore-message')
  require.cache[from('javascript-opentimestamps')] = require.cache[from('bitcore-message')]
  return require('javascript-opentimestamps')
}

async function main ([command, ...args]) {
  switch (command) {
    case 'sign': {
      const [library, wif, ...messages] = args
      const { sign } = libraries()[library]
      for (const m of messages) console.log(sign(wif, m))
      return
    }
    case 'verify': {
      const [library, address, message, signature] = args
      if (!libraries()[library].verify(address, message, signature)) throw new Error('not a signature')
      return
    }
    case 'stamp': {
      const OpenTimestamps = client()
      const [url, wif, file] = args
      const detached = OpenTimestamps.DetachedTimestampFile.fromBytes(new OpenTimestamps.Ops.OpSHA256(), fs.readFileSync(file))
      await OpenTimestamps.stamp(detached, { privateCalendars: new Map([[url, wif]]) })
      fs.writeFileSync(file + '.ots', Buffer.from(detached.serializeToBytes()))
      return
    }
    case 'submit': {
      const OpenTimestamps = client()
      const [url, wif, hex] = args
      const calendar = new OpenTimestamps.Calendar.RemoteCalendar(url)
      calendar.setKey(wif)
      const timestamp = await calendar.submit(Array.from(Buffer.from(hex, 'hex')))
      console.log(timestamp.strTree(0, 1))
      return
    }
  }
  throw new Error('unknown command ' + command)
}

main(process.argv.slice(2)).catch(err => {
  console.error(err)
  process.exit(1)
})
