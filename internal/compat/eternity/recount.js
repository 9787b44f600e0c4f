// node recount.js ADDRESS ... < signed.jsonl: what the owner of these addresses signed, by month.
const { verify } = require('bitcoinjs-message')
const [, , ...mine] = process.argv
const months = {}
for (const line of require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const { digest, address, signature, month } = JSON.parse(line)
  if (!mine.includes(address) || !verify(digest, address, signature)) throw new Error('not signed by me: ' + line)
  months[month] = (months[month] || new Set()).add(address + digest)
}
for (const month in months) console.log(month, months[month].size)
